"""A removal deletes a host's data, and keeps data that other hosts share."""

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
    """A host's broker and database, with a record of the commands that were run."""

    def __init__(self, nodes, shrunk):
        self.nodes = nodes
        self.shrunk = shrunk
        self.failing = "no such command"
        self.installed = ("rabbitmq-server", "postgresql")
        self.commands = []

    def run(self, command, *, text="", **_):
        command = command.split() if isinstance(command, str) else command
        self.commands.append(f"{' '.join(command)} {text}")
        if self.failing in self.commands[-1]:
            raise InstallationError(f"{self.failing} failed")
        if "cluster_status" in command:
            return json.dumps({"disk_nodes": self.nodes})
        if command[0] == "dpkg-query":
            return "installed" if command[-1] in self.installed else ""
        if command[-1] in {"list_queues", "list_users"}:
            return "others\t0\nopen-messaging.events\t7\nopen-messaging-edge\t[]\n"
        return self.shrunk if command[0] == "rabbitmq-queues" else ""

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
    """Return a function that puts this host in a cluster of *nodes*, made by `--cluster` if *joined*."""
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


def test_a_unit_without_a_file_is_not_stopped(monkeypatch):
    listed = "om-api.service not-found inactive dead\nom-worker@1.service loaded active running Worker\n"
    monkeypatch.setattr(removal, "run", lambda _: listed)
    assert removal._units() == ["om-worker@1.service"]


def test_a_host_leaves_its_cluster_without_touching_shared_data(make_host):
    # The queue's name contains "error", which must not count as a failure.
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


@pytest.mark.parametrize("failing", ["start_app", "userdel"])
def test_a_second_purge_after_leaving_the_cluster_keeps_the_other_hosts_database(make_host, failing):
    host = make_host(HERE, "rabbit@om-2", has_database=True)
    host.failing = failing
    with pytest.raises(InstallationError, match=failing):
        purge()
    host.nodes = [HERE]
    for failing_again in ("userdel", "nothing"):
        host.failing = failing_again
        with contextlib.suppress(InstallationError):
            reported = purge()
        assert not host.find("DROP DATABASE")
    assert any("kept: the database open_messaging" in line for line in reported)


@pytest.mark.parametrize(
    ("nodes", "shrunk", "failing", "message", "not_run"),
    [
        ([HERE], "", "DROP DATABASE", "from the other hosts first", ["FORCE", "delete_queue"]),
        ([HERE], "", "list_queues", "list_queues failed", ["delete_"]),
        ([HERE], "", "delete_queue", "delete_queue failed", ["delete_user"]),
        ([], "", "none", r"does not run.*forget_cluster_node.*delete .*cookie here", SHARED),
        (
            [HERE, "rabbit@om-2"],
            SHRUNK.format("error: the last node cannot be removed"),
            "none",
            r": / open-messaging\.events 2 error: the last.*grow NODE all",
            ["stop_app"],
        ),
    ],
    ids=[
        "a database in use",
        "a broker that stops",
        "a queue that is not deleted",
        "a broker that does not run",
        "a queue that keeps its member",
    ],
)
def test_a_failing_purge_reports_a_remedy_and_stops_before_it_deletes_anything(  # noqa: PLR0917  # a table
    make_host, nodes, shrunk, failing, message, not_run
):
    host = make_host(*nodes, shrunk=shrunk)
    host.failing = failing
    with pytest.raises(InstallationError, match=message):
        purge()
    assert not host.find(*not_run)
    assert removal.CONFIGURATION.exists()


def test_a_queue_without_a_member_on_the_new_host_fails_the_installation(make_host):
    make_host(HERE, "rabbit@om-2", shrunk=SHRUNK.format("ok"))
    cluster.grow(HERE)
    make_host(HERE, "rabbit@om-2", shrunk=SHRUNK.format("error: cluster_change_not_permitted"))
    with pytest.raises(InstallationError, match=r": / open-messaging\.events 2 error: cluster_change_not_p"):
        cluster.grow(HERE)


@pytest.mark.parametrize("joined", [True, False])
def test_the_last_host_deletes_the_shared_data(make_host, joined):
    host = make_host(HERE, joined=joined, has_database=joined)
    purge()
    assert all(host.find(word) for word in SHARED)
    assert not host.find("reset", "delete_queue others")


def test_a_stopped_broker_of_a_single_host_fails_the_purge_but_a_missing_server_does_not(make_host):
    host = make_host(joined=False)
    host.failing = "rabbitmqctl"
    with pytest.raises(InstallationError, match="rabbitmqctl failed"):
        purge()
    assert removal.CONFIGURATION.exists()
    host.installed = ()
    host.commands.clear()
    purge()
    assert not host.find("DROP DATABASE", "list_queues")
    assert not removal.CONFIGURATION.exists()


def test_a_host_does_not_leave_a_cluster_that_no_installation_made(make_host):
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
