"""What goes with the service, and what stays since others share it."""

import contextlib
import json

import pytest
from click.testing import CliRunner

from omctl.commands import install as command
from omctl.installing import InstallationError, Options, cluster, removal
from omctl.installing.step import carry_out

HERE = f"rabbit@{Options().host}"
SHARED = ("DROP DATABASE", "delete_queue", "delete_user")
SHRUNK = "vhost\tname\tsize\tresult\n/\tcrm.errors\t2\tok\n/\topen-messaging.events\t2\t{}\n"


class Host:
    """A host's broker, database and files; keeps what it was told to do."""

    def __init__(self, nodes, shrunk=""):
        self.nodes = nodes
        self.shrunk = shrunk
        self.failing = "no such word"
        self.commands = []

    def run(self, command, *, text="", **_):
        self.commands.append(f"{' '.join(command)} {text}")
        if self.failing in self.commands[-1]:
            raise InstallationError(f"{self.failing} failed")
        if "cluster_status" in command:
            return json.dumps({"disk_nodes": self.nodes})
        return self.shrunk if "shrink" in command else ""

    def succeeds(self, command):
        self.commands.append(" ".join(command))
        if "getent" in command:
            return self.failing == "userdel"
        return self.nodes != [] or command[0] != "rabbitmqctl"

    def said(self, word):
        return [each for each in self.commands if word in each]


@pytest.fixture
def host_of(tmp_path, monkeypatch):
    """Makes this host one of some nodes, as --cluster makes it or without."""
    for name in ("CONFIGURATION", "STATE"):
        directory = tmp_path / name
        directory.mkdir()
        monkeypatch.setattr(removal, name, directory)

    monkeypatch.setattr(cluster, "POSTGRESQL", tmp_path)

    def make(*nodes, joined=True, shrunk="", has_database=False):
        host = Host(list(nodes), shrunk)
        if has_database:
            let_in = tmp_path / "17" / "main" / "conf.d" / "open-messaging.conf"
            let_in.parent.mkdir(parents=True)
            let_in.touch()
        cookie = tmp_path / "CONFIGURATION" / "cookie"
        if joined:
            cookie.touch()
        for module in (removal, cluster):
            monkeypatch.setattr(module, "run", host.run)
            monkeypatch.setattr(module, "succeeds", host.succeeds)
            monkeypatch.setattr(module, "KEPT_COOKIE", cookie)
        return host

    return make


def purge():
    return [f"{state}: {title}" for title, state in carry_out(removal.purge_steps(), dry_run=False)]


def test_a_host_of_a_cluster_leaves_it_and_leaves_alone_what_the_others_share(host_of):
    host = host_of(HERE, "rabbit@om-2", "rabbit@om-3")

    told = purge()

    assert not [word for word in SHARED if host.said(word)]
    did = [each.strip() for each in host.commands if "shrink" in each or "_app" in each or "reset" in each]
    assert did == [
        f"rabbitmq-queues --quiet shrink {HERE}",
        "rabbitmqctl --quiet stop_app",
        "rabbitmqctl --quiet reset",
        "rabbitmqctl --quiet start_app",
    ]
    kept, deleted = told[1:3], told[3:]
    assert kept[0] == (
        "kept: queues, dead letters and users of the broker, which it shares with rabbit@om-2, rabbit@om-3"
    )
    assert kept[1].startswith(
        "kept: the database open_messaging on this host, which the other hosts may use; once none does,"
    )
    assert not [title for title in deleted if title.startswith("kept")]
    assert not removal.CONFIGURATION.exists()


def test_a_host_that_has_left_and_is_purged_again_leaves_alone_the_others_database(host_of):
    host = host_of(HERE, "rabbit@om-2", has_database=True)
    host.failing = "userdel"
    with pytest.raises(InstallationError, match="userdel"):
        purge()
    host.nodes = [HERE]
    for failing in ("userdel", "nothing"):
        host.failing = failing
        with contextlib.suppress(InstallationError):
            told = purge()
        assert not host.said("DROP DATABASE")
    assert any("kept: the database open_messaging" in each for each in told)


@pytest.mark.parametrize("failing", ["start_app", "userdel"])
def test_once_it_is_reset_a_host_has_left_whatever_fails_then(host_of, failing):
    host = host_of(HERE, "rabbit@om-2", has_database=True)
    host.failing = failing
    with pytest.raises(InstallationError, match=failing):
        purge()

    assert cluster.has_left()


def test_a_database_in_use_ends_it_with_what_to_do_and_nothing_is_deleted(host_of):
    host = host_of(HERE)
    host.failing = "DROP DATABASE"

    with pytest.raises(InstallationError, match="off the other hosts first"):
        purge()
    [said] = host.said("DROP DATABASE")
    assert "FORCE" not in said
    assert not host.said("delete_queue")
    assert removal.CONFIGURATION.exists()


@pytest.mark.parametrize("joined", [True, False])
def test_with_the_last_host_goes_what_hosts_share(host_of, joined):
    host = host_of(HERE, joined=joined, has_database=joined)

    purge()

    assert all(host.said(word) for word in SHARED)
    assert not host.said("reset")


def test_a_cluster_that_serves_others_besides_is_not_left(host_of):
    host = host_of(HERE, "rabbit@other", joined=False)

    purge()

    assert not [word for word in (*SHARED, "shrink", "reset") if host.said(word)]


def test_a_host_whose_broker_cannot_tell_who_shares_it_keeps_everything(host_of):
    host = host_of()

    with pytest.raises(InstallationError, match=r"does not run.*forget_cluster_node.*delete .*cookie here"):
        purge()
    assert not [word for word in SHARED if host.said(word)]
    assert removal.CONFIGURATION.exists()


def test_a_queue_that_keeps_its_member_here_ends_it_before_anything_is_reset(host_of):
    host = host_of(HERE, "rabbit@om-2", shrunk=SHRUNK.format("error: the last node cannot be removed"))

    with pytest.raises(
        InstallationError, match=r": / open-messaging\.events 2 error: the last.*grow NODE all"
    ):
        purge()
    assert not host.said("stop_app")
    assert removal.CONFIGURATION.exists()


def test_a_queue_that_is_called_an_error_is_none(host_of):
    host = host_of(HERE, "rabbit@om-2", shrunk=SHRUNK.format("ok"))

    purge()

    assert host.said("reset")


def test_the_question_names_what_goes_and_what_stays(host_of, monkeypatch):
    monkeypatch.setattr(command.os, "geteuid", lambda: 0)
    host_of(HERE)
    alone = CliRunner().invoke(command.uninstall, ["--purge"], input="n\n")
    assert alone.exit_code == 1
    assert "would be done: drop the database open_messaging of this host's PostgreSQL" in alone.stderr
    assert f"would be done: delete {removal.CONFIGURATION}: settings and secrets" in alone.stderr

    host = host_of(HERE, "rabbit@om-2")
    shared = CliRunner().invoke(command.uninstall, ["--purge"], input="n\n")
    assert f"would be done: have {HERE} leave the cluster with rabbit@om-2" in shared.stderr
    assert "kept: queues, dead letters and users" in shared.stderr
    assert not host.said("reset")
    assert removal.CONFIGURATION.exists()
