"""What a removal deletes, and what stays because other hosts share it."""

import contextlib
import json

import pytest
from click.testing import CliRunner

from omctl import install as command
from omctl.installing import cluster, removal, steps, units
from omctl.installing.options import ENVIRONMENT, Options
from omctl.installing.steps import InstallationError, run_steps

HERE = f"rabbit@{Options().host}"
SHARED = ("DROP DATABASE", "delete_queue", "delete_user")
SHRUNK = "vhost\tname\tsize\tresult\n/\tcrm.errors\t2\tok\n/\topen-messaging.events\t2\t{}\n"


class Host:
    """A host's broker, database and files; records the commands."""

    def __init__(self, nodes, shrunk=""):
        self.nodes = nodes
        self.shrunk = shrunk
        self.failing = "no such command"
        self.commands = []

    def run(self, command, *, text="", **_):
        command = command.split() if isinstance(command, str) else command
        self.commands.append(f"{' '.join(command)} {text}")
        if self.failing in self.commands[-1]:
            raise InstallationError(f"{self.failing} failed")
        if "cluster_status" in command:
            return json.dumps({"disk_nodes": self.nodes})
        return self.shrunk if "shrink" in command else ""

    def succeeds(self, command):
        command = command.split() if isinstance(command, str) else command
        self.commands.append(" ".join(command))
        if "getent" in command:
            return self.failing == "userdel"
        return self.nodes != [] or command[0] != "rabbitmqctl"

    def find(self, word):
        return [command for command in self.commands if word in command]


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
        for module in (removal, cluster, steps):
            monkeypatch.setattr(module, "run", host.run)
            monkeypatch.setattr(module, "succeeds", host.succeeds)
            monkeypatch.setattr(module, "STORED_COOKIE", cookie, raising=False)
        return host

    return make


def purge():
    return [f"{state}: {title}" for title, state in run_steps(removal.purge_steps(), dry_run=False)]


def test_a_removal_deletes_each_unit_and_program_that_an_installation_writes():
    installed = (*units.configuration_steps(Options()), *units.unit_steps(Options()))
    written = {step.title.removeprefix("write ") for step in installed if step.title.startswith("write ")}
    deleted = {step.title.removeprefix("delete ") for step in removal.plan_removal(purge=False)}
    assert written - deleted == {str(ENVIRONMENT)}


def test_a_host_leaves_its_cluster_without_touching_what_the_others_share(host_of):
    # A queue with "error" in its name is no failure.
    host = host_of(HERE, "rabbit@om-2", "rabbit@om-3", shrunk=SHRUNK.format("ok"))

    reported = purge()

    assert not [word for word in SHARED if host.find(word)]
    did = [each.strip() for each in host.commands if "shrink" in each or "_app" in each or "reset" in each]
    assert did == [
        f"rabbitmq-queues --quiet shrink {HERE}",
        "rabbitmqctl --quiet stop_app",
        "rabbitmqctl --quiet reset",
        "rabbitmqctl --quiet start_app",
    ]
    kept, deleted = reported[1:3], reported[3:]
    assert kept[0] == (
        "kept: queues, dead letters and users of the broker, which are shared with rabbit@om-2, rabbit@om-3"
    )
    assert kept[1].startswith(
        "kept: the database open_messaging on this host, which other hosts may use; once none does,"
    )
    assert not [title for title in deleted if title.startswith("kept")]
    assert not removal.CONFIGURATION.exists()


def test_a_second_purge_after_leaving_keeps_the_others_database(host_of):
    host = host_of(HERE, "rabbit@om-2", has_database=True)
    host.failing = "userdel"
    with pytest.raises(InstallationError, match="userdel"):
        purge()
    host.nodes = [HERE]
    for failing in ("userdel", "nothing"):
        host.failing = failing
        with contextlib.suppress(InstallationError):
            reported = purge()
        assert not host.find("DROP DATABASE")
    assert any("kept: the database open_messaging" in each for each in reported)


@pytest.mark.parametrize("failing", ["start_app", "userdel"])
def test_a_host_that_was_reset_has_left_whatever_fails_next(host_of, failing):
    host = host_of(HERE, "rabbit@om-2", has_database=True)
    host.failing = failing
    with pytest.raises(InstallationError, match=failing):
        purge()

    assert cluster.has_left()


def test_a_database_in_use_stops_the_purge_with_a_remedy_and_nothing_is_deleted(host_of):
    host = host_of(HERE)
    host.failing = "DROP DATABASE"

    with pytest.raises(InstallationError, match="from the other hosts first"):
        purge()
    [command_line] = host.find("DROP DATABASE")
    assert "FORCE" not in command_line
    assert not host.find("delete_queue")
    assert removal.CONFIGURATION.exists()


@pytest.mark.parametrize("joined", [True, False])
def test_the_last_host_deletes_what_hosts_share(host_of, joined):
    host = host_of(HERE, joined=joined, has_database=joined)
    purge()
    assert all(host.find(word) for word in SHARED)
    assert not host.find("reset")


def test_a_cluster_that_also_serves_others_is_not_left(host_of):
    host = host_of(HERE, "rabbit@other", joined=False)
    purge()
    assert not [word for word in (*SHARED, "shrink", "reset") if host.find(word)]


def test_a_host_whose_broker_cannot_list_its_members_keeps_everything(host_of):
    host = host_of()

    with pytest.raises(InstallationError, match=r"does not run.*forget_cluster_node.*delete .*cookie here"):
        purge()
    assert not [word for word in SHARED if host.find(word)]
    assert removal.CONFIGURATION.exists()


def test_a_queue_that_keeps_its_member_stops_the_purge_before_the_reset(host_of):
    host = host_of(HERE, "rabbit@om-2", shrunk=SHRUNK.format("error: the last node cannot be removed"))

    with pytest.raises(
        InstallationError, match=r": / open-messaging\.events 2 error: the last.*grow NODE all"
    ):
        purge()
    assert not host.find("stop_app")
    assert removal.CONFIGURATION.exists()


def test_the_confirmation_lists_what_is_deleted_and_what_stays(host_of, monkeypatch):
    monkeypatch.setattr(command.os, "geteuid", lambda: 0)
    host_of(HERE)
    alone = CliRunner().invoke(command.uninstall, ["--purge"], input="n\n")
    assert alone.exit_code == 1
    assert "would be done: drop the database open_messaging of this host's PostgreSQL" in alone.stderr
    assert f"would be done: delete {removal.CONFIGURATION}: settings and secrets" in alone.stderr

    host = host_of(HERE, "rabbit@om-2")
    shared = CliRunner().invoke(command.uninstall, ["--purge"], input="n\n")
    assert f"would be done: remove {HERE} from the cluster with rabbit@om-2" in shared.stderr
    assert "kept: queues, dead letters and users" in shared.stderr
    assert not host.find("reset")
    assert removal.CONFIGURATION.exists()
