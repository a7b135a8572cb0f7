"""Join the brokers of several hosts into one RabbitMQ cluster, and remove a host from the cluster."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from omctl.installing import credentials, steps
from omctl.installing.broker import LISTENERS, PACKAGE, server_steps, users_step
from omctl.installing.credentials import authority_steps, read_stripped
from omctl.installing.database import database_steps
from omctl.installing.options import CONFIGURATION, Options
from omctl.installing.steps import InstallationError, Step, commands, is_installed, run, succeeds

COOKIE: Final = Path("/var/lib/rabbitmq/.erlang.cookie")
STORED_COOKIE: Final = credentials.CLUSTER / "erlang-cookie"
"""The Erlang cookie, which all nodes of a cluster must share; it is copied to each host as a credential."""
POSTGRESQL: Final = Path("/etc/postgresql")


def cluster_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that set up this host's cluster node and, on the first host, the database."""
    if options.host not in options.brokers:
        raise InstallationError(f"this host's name, {options.host}, is not in --cluster")
    needed = (STORED_COOKIE, credentials.CLUSTER / "hosts", *credentials.BROKER)
    if not options.is_first and not credentials.exist(needed):
        first = options.brokers[0]
        raise InstallationError(f"install {first} first, then copy {CONFIGURATION} from {first} to this host")
    if is_installed(PACKAGE) and not LISTENERS.exists():
        text = "this host's broker was installed earlier and may serve other applications"
        raise InstallationError(f"{text}: create {LISTENERS} to let it join")
    yield from authority_steps(options)
    yield from server_steps(options)
    if not options.is_first:
        yield from _join_steps(options)
        return
    title = "store the cluster's cookie"
    yield Step(title, STORED_COOKIE.exists, lambda: credentials.store(STORED_COOKIE, read_stripped(COOKIE)))
    yield users_step(options)
    named = steps.read(credentials.WORKER_DATABASE)
    if named is None or any(f"@{host}/" in named for host in ("127.0.0.1", options.host)):
        yield from database_steps(options)


def _join_steps(options: Options) -> Iterator[Step]:
    first, here = (f"rabbit@{host}" for host in (options.brokers[0], options.host))
    yield Step(
        "use the cluster's cookie", lambda: read_stripped(COOKIE) == read_stripped(STORED_COOKIE), _use_cookie
    )
    join = (
        f"rabbitmqctl --quiet {what}" for what in ("stop_app", "reset", f"join_cluster {first}", "start_app")
    )
    yield Step(f"join the broker of {options.brokers[0]}", lambda: first in members(), commands(*join))
    yield steps.always("add a member of each queue on this host", lambda: grow(here))
    for path in (*credentials.BROKER, *credentials.MANAGEMENT):
        addresses = read_stripped(path)
        own_first = put_own_first(addresses, options.host)
        is_done = partial(bool, addresses == own_first)
        yield Step(f"put this host first in {path}", is_done, partial(credentials.store, path, own_first))


def grow(here: str) -> None:
    """Add a member on the node *here* to each queue."""
    if failed := _list_failures(f"rabbitmq-queues --quiet grow {here} all"):
        raise InstallationError(
            f"no member could be added on {here} for some queues: {failed}. Make sure that the other "
            "nodes run. Then run the same command again"
        )


def _list_failures(command: str) -> str:
    """Run *command*, which adds or removes members, and return the rows of its output that report an error.

    The command succeeds even if rows report errors. A row contains a queue's virtual host, name and size, and
    then "ok" or "error: " with the reason. Tabs in names are escaped.
    """
    # Source: grow_command.ex and shrink_command.ex of RabbitMQ 4.0.
    rows = [row.split("\t") for row in run(command).split("\n")]
    return "; ".join(" ".join(row) for row in rows if row[-1].startswith("error"))


def put_own_first(addresses: str, host: str) -> str:
    """Return the brokers' URLs with *host*'s broker first, so that the host's processes try it first."""
    return ",".join(sorted(addresses.strip().split(","), key=lambda address: f"@{host}:" not in address))


def _use_cookie() -> None:
    """Replace the node's Erlang cookie with the cluster's. The node is stopped while its cookie changes."""
    run(f"systemctl stop {PACKAGE}")
    steps.replace(COOKIE, read_stripped(STORED_COOKIE), mode=0o400)
    shutil.chown(COOKIE, "rabbitmq", "rabbitmq")
    run(f"systemctl start {PACKAGE}")


def members() -> list[str]:
    """Return the nodes of this host's cluster; the list is empty if this host's broker is not running."""
    if not succeeds("rabbitmqctl --quiet status"):
        return []
    status = run("rabbitmqctl --quiet cluster_status --formatter json")
    return list(json.loads(status)["disk_nodes"])


def other_members(here: str) -> list[str]:
    """Return the other nodes of *here*'s cluster; raise an error if *here* is in a cluster but is down."""
    found = members()
    if not found and STORED_COOKIE.exists():
        raise InstallationError(
            f"{here} belongs to a cluster and does not run, so it cannot leave: systemctl restart {PACKAGE}. "
            f"If it is lost for good, run `rabbitmqctl forget_cluster_node {here}` on another host and "
            f"delete {STORED_COOKIE} here. Then run the same command again"
        )
    return [node for node in found if node != here] if len(found) > 1 else []


def has_left() -> bool:
    """Return whether this host left a cluster but still has its database, which other hosts might use."""
    # Only the host with the cluster's database has this settings file, which `omctl uninstall` never deletes.
    return not STORED_COOKIE.exists() and any(POSTGRESQL.glob("*/main/conf.d/open-messaging.conf"))


def leave(here: str) -> None:
    """Remove this node from the cluster and delete its data; the other nodes keep all queues and users.

    First, `shrink` removes the queues' members on this node: a reset alone would leave them registered, and
    they would still count towards each queue's majority. `purge_steps` never calls this for the last node.
    """
    if failed := _list_failures(f"rabbitmq-queues --quiet shrink {here}"):
        raise InstallationError(
            f"{here} does not leave the cluster because queues keep their member there: {failed}. "
            "Make sure that the other nodes run. If a queue has no other member, delete it or add one with "
            "`rabbitmq-queues grow NODE all`. Then run the same command again"
        )
    run("rabbitmqctl --quiet stop_app")
    run("rabbitmqctl --quiet reset")
    STORED_COOKIE.unlink(missing_ok=True)
    run("rabbitmqctl --quiet start_app")
