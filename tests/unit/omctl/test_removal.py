"""Data that a removal deletes, and data that it keeps because other hosts share it."""

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
    """A host's broker and database; records the commands."""

    def __init__(self, nodes, shrunk):
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

    def find(self, *words):
        return [command for command in self.commands if any(word in command for word in words)]


@pytest.fixture
def make_host(tmp_path, monkeypatch):
    """Make this host a node beside others, with a cookie if `--cluster` made the cluster."""
    for name in ("CONFIGURATION", "STATE"):
        directory = tmp_path / name
        directory.mkdir()
        monkeypatch.setattr(removal, name, directory)
    monkeypatch.setattr(cluster, "POSTGRESQL", tmp_path)

    def make(*nodes, joined=True, shrunk="", has_database=False):
        host = Host(list(nodes), shrunk)
        if has_database:
            directory = tmp_path / "17" / "main" / "conf.d"
            directory.mkdir(parents=True)
            (directory / "open-messaging.conf").touch()
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


def test_a_unit_without_a_file_is_not_stopped():
    listed = "om-api.service not-found inactive dead\nom-worker@1.service loaded active running Worker\n"
    assert removal.parse_loaded(listed) == ["om-worker@1.service"]


def test_a_host_leaves_its_cluster_without_touching_shared_data(make_host):
    # A queue with "error" in its name is no failure.
    host = make_host(HERE, "rabbit@om-2", "rabbit@om-3", shrunk=SHRUNK.format("ok"))
    _, broker, database, *deleted = purge()
    assert not host.find(*SHARED)
    assert [command.strip() for command in host.find("shrink", "_app", "reset")] == [
        f"rabbitmq-queues --quiet shrink {HERE}",
        "rabbitmqctl --quiet stop_app",
        "rabbitmqctl --quiet reset",
        "rabbitmqctl --quiet start_app",
    ]
    shared = "queues, dead letters and users of the broker, which are shared with rabbit@om-2, rabbit@om-3"
    assert broker == f"kept: {shared}"
    assert database.startswith("kept: the database open_messaging on this host, which other hosts may use;")
    assert not [title for title in deleted if title.startswith("kept")]
    assert not removal.CONFIGURATION.exists()


def test_a_second_purge_after_leaving_the_cluster_keeps_the_other_hosts_database(make_host):
    host = make_host(HERE, "rabbit@om-2", has_database=True)
    host.failing = "userdel"
    with pytest.raises(InstallationError, match="userdel"):
        purge()
    host.nodes = [HERE]
    for failing in ("userdel", "nothing"):
        host.failing = failing
        with contextlib.suppress(InstallationError):
            reported = purge()
        assert not host.find("DROP DATABASE")
    assert any("kept: the database open_messaging" in line for line in reported)


@pytest.mark.parametrize("failing", ["start_app", "userdel"])
def test_a_host_has_left_the_cluster_once_its_broker_was_reset(make_host, failing):
    host = make_host(HERE, "rabbit@om-2", has_database=True)
    host.failing = failing
    with pytest.raises(InstallationError, match=failing):
        purge()
    assert cluster.has_left()


@pytest.mark.parametrize(
    ("nodes", "shrunk", "failing", "message", "not_run"),
    [
        ([HERE], "", "DROP DATABASE", "from the other hosts first", ["FORCE", "delete_queue"]),
        ([], "", "none", r"does not run.*forget_cluster_node.*delete .*cookie here", SHARED),
        (
            [HERE, "rabbit@om-2"],
            SHRUNK.format("error: the last node cannot be removed"),
            "none",
            r": / open-messaging\.events 2 error: the last.*grow NODE all",
            ["stop_app"],
        ),
    ],
    ids=["a database in use", "a broker that does not run", "a queue that keeps its member"],
)
def test_a_failing_purge_stops_with_a_remedy_before_it_deletes_anything(  # noqa: PLR0917  # a table
    make_host, nodes, shrunk, failing, message, not_run
):
    host = make_host(*nodes, shrunk=shrunk)
    host.failing = failing
    with pytest.raises(InstallationError, match=message):
        purge()
    assert not host.find(*not_run)
    assert removal.CONFIGURATION.exists()


@pytest.mark.parametrize("joined", [True, False])
def test_the_last_host_deletes_the_shared_data(make_host, joined):
    host = make_host(HERE, joined=joined, has_database=joined)
    purge()
    assert all(host.find(word) for word in SHARED)
    assert not host.find("reset")


def test_a_cluster_that_was_not_made_by_an_installation_is_not_left(make_host):
    host = make_host(HERE, "rabbit@other", joined=False)
    purge()
    assert not host.find(*SHARED, "shrink", "reset")


def test_the_confirmation_lists_deleted_and_kept_data(make_host, monkeypatch):
    monkeypatch.setattr(command.os, "geteuid", lambda: 0)
    make_host(HERE)
    alone = CliRunner().invoke(command.uninstall, ["--purge"], input="n\n")
    assert alone.exit_code == 1
    assert "would be done: drop the database open_messaging of this host's PostgreSQL" in alone.stderr
    assert f"would be done: delete {removal.CONFIGURATION}: settings and secrets" in alone.stderr
    host = make_host(HERE, "rabbit@om-2")
    shared = CliRunner().invoke(command.uninstall, ["--purge"], input="n\n")
    assert f"would be done: remove {HERE} from the cluster with rabbit@om-2" in shared.stderr
    assert "kept: queues, dead letters and users" in shared.stderr
    assert not host.find("reset")
    assert removal.CONFIGURATION.exists()
