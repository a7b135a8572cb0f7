"""Have the brokers of several hosts be one: the others join the first with what it has written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from omctl.installing import authority, credentials
from omctl.installing.authority import authority_steps
from omctl.installing.broker import LISTENERS, PACKAGE, server_steps, users_step
from omctl.installing.database import database_steps
from omctl.installing.files import read, replace
from omctl.installing.options import CONFIGURATION, CREDENTIALS
from omctl.installing.step import InstallationError, Step, is_installed, run, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omctl.installing.options import Options

COOKIE: Final = Path("/var/lib/rabbitmq/.erlang.cookie")
KEPT_COOKIE: Final = CREDENTIALS / "cluster" / "erlang-cookie"
"""By it nodes know that they belong together. It travels with the other secrets."""
POSTGRESQL: Final = Path("/etc/postgresql")
_LET_IN: Final = "*/main/conf.d/open-messaging.conf"
"""Written where the cluster's database is, when the other hosts are let in; no removal takes it away."""


def cluster_steps(options: Options) -> Iterator[Step]:
    """Return the steps to a broker that several hosts carry, and on the first of them to the database.

    Raises:
        InstallationError: This host is none of them, or has not got what the first one has written.
    """
    if options.host not in options.cluster:
        raise InstallationError(f"this host is called {options.host}, which --cluster does not name")
    if not options.is_first and not credentials.are_there(
        (KEPT_COOKIE, authority.KEPT / "hosts", *credentials.BROKER)
    ):
        first = options.cluster[0]
        raise InstallationError(f"copy {CONFIGURATION} from {first} first, once it is installed there")
    if is_installed(PACKAGE) and not LISTENERS.exists():
        raise InstallationError(f"the broker of this host serves others: write {LISTENERS} to have it join")
    yield from authority_steps(options)
    yield from server_steps(options)
    if options.is_first:
        yield Step("keep the cluster's cookie", KEPT_COOKIE.exists, _keep_cookie)
        yield users_step(options)
        if not _has_database_elsewhere(options):
            yield from database_steps(options)
    else:
        yield from _join_steps(options)


def _join_steps(options: Options) -> Iterator[Step]:
    first, here = (f"rabbit@{host}" for host in (options.cluster[0], options.host))
    yield Step("take the cluster's cookie", lambda: _cookie(COOKIE) == _cookie(KEPT_COOKIE), _take_cookie)
    yield Step(f"join the broker of {options.cluster[0]}", lambda: first in members(), lambda: _join(first))
    yield Step(
        "have a member of each queue here",
        lambda: False,
        lambda: run(["rabbitmq-queues", "--quiet", "grow", here, "all"]),
    )
    for path in (*credentials.BROKER, *credentials.MANAGEMENT):
        yield _own_first_step(path, options.host)


def _own_first_step(path: Path, host: str) -> Step:
    return Step(
        f"put this host first in {path}",
        lambda: (text := read(path) or "").strip() == own_first(text, host),
        lambda: credentials.keep(path, own_first(read(path) or "", host)),
    )


def own_first(addresses: str, host: str) -> str:
    """Return the brokers' addresses so that a host's processes try its own before the others."""
    return ",".join(sorted(addresses.strip().split(","), key=lambda address: f"@{host}:" not in address))


def _has_database_elsewhere(options: Options) -> bool:
    """Tell whether a database is named that is not this host's."""
    named = read(credentials.WORKER_DATABASE)
    return named is not None and not any(f"@{host}/" in named for host in ("127.0.0.1", options.host))


def _cookie(path: Path) -> str:
    return (read(path) or "").strip()


def _keep_cookie() -> None:
    credentials.keep(KEPT_COOKIE, _cookie(COOKIE))


def _take_cookie() -> None:
    """Have the node know the others; it must not run meanwhile."""
    run(["systemctl", "stop", PACKAGE])
    replace(COOKIE, _cookie(KEPT_COOKIE), mode=0o400)
    shutil.chown(COOKIE, "rabbitmq", "rabbitmq")
    run(["systemctl", "start", PACKAGE])


def members() -> list[str]:
    """Return the nodes of this host's cluster; none where its broker does not run."""
    if not succeeds(["rabbitmqctl", "--quiet", "status"]):
        return []
    said = run(["rabbitmqctl", "--quiet", "cluster_status", "--formatter", "json"])
    return list(json.loads(said)["disk_nodes"])


def _join(first: str) -> None:
    """Leave what this node was alone, and be one of the others."""
    for command in (["stop_app"], ["reset"], ["join_cluster", first], ["start_app"]):
        run(["rabbitmqctl", "--quiet", *command])


def other_members(here: str) -> list[str]:
    """Return the nodes that share this host's queues and users.

    Args:
        here: This host's own node.

    Raises:
        InstallationError: It was made one of several, and does not run, so that it cannot tell.
    """
    found = members()
    if not found and KEPT_COOKIE.exists():
        raise InstallationError(
            f"{here} is one of a cluster and does not run, so that it cannot leave: systemctl restart "
            f"{PACKAGE}. If it is gone for good, `rabbitmqctl forget_cluster_node {here}` on another "
            f"host, and delete {KEPT_COOKIE} here. Then run the same command again"
        )
    return [node for node in found if node != here] if len(found) > 1 else []


def has_left() -> bool:
    """Tell whether this host has left the cluster whose database it has, which the others may go on using."""
    return not KEPT_COOKIE.exists() and any(POSTGRESQL.glob(_LET_IN))


def leave(here: str) -> None:
    """Have this host's node be alone and empty; the others keep queues, users and all that waits.

    A reset alone would leave a member of each queue behind that counts for its majority and never answers.
    The cookie goes with the reset: with it a node that is alone counts as the last one.

    Raises:
        InstallationError: The others have no majority, or a queue keeps its member here; nothing is lost.
    """
    said = run(["rabbitmq-queues", "--quiet", "shrink", here])
    if failed := _not_shrunk(said):
        raise InstallationError(
            f"{here} does not leave, since queues keep their member there: {'; '.join(failed)}. See that the "
            "other nodes run; where a queue has no other member, delete it, or have it have one: "
            "`rabbitmq-queues grow NODE all`. Then run the same command again"
        )
    for command in ("stop_app", "reset"):
        run(["rabbitmqctl", "--quiet", command])
    KEPT_COOKIE.unlink(missing_ok=True)
    run(["rabbitmqctl", "--quiet", "start_app"])


def _not_shrunk(said: str) -> list[str]:
    """Return the rows of queues that could not be shrunk: virtual host, name, size, result.

    Source: shrink_command.ex of RabbitMQ 4.0: "ok", or "error: " and why; tabs in names are escaped.
    """
    rows = [row.split("\t") for row in said.split("\n")]
    return [" ".join(row) for row in rows if row[-1].startswith("error")]
