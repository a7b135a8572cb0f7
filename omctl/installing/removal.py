"""Take the service off a host again; what it has kept stays, unless told otherwise."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from messaging import topology
from omctl.installing.broker import USER_NAMES
from omctl.installing.cluster import KEPT_COOKIE, has_left, leave, other_members
from omctl.installing.configuration import PROGRAM
from omctl.installing.database import DATABASE, OWNER, READER, SERVICE
from omctl.installing.firewall import removal_steps
from omctl.installing.gateway import ADDRESSES, SITE
from omctl.installing.options import ACCOUNT, CONFIGURATION, SCALER_ACCOUNT, STATE, UNITS, Options
from omctl.installing.step import InstallationError, Step, kept, run, succeeds
from omctl.installing.units import EDGE_UNITS, HARDENING, POLKIT_RULE, WORKER_UNITS
from webhook_api.health import PLATFORM_LIST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ADDRESS_STATE: Final = PLATFORM_LIST.parent
_PSQL: Final = ("runuser", "-u", "postgres", "--", "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1")
_DROP: Final = f"""\
DROP DATABASE IF EXISTS {DATABASE};
DROP ROLE IF EXISTS {OWNER};
DROP ROLE IF EXISTS {SERVICE};
DROP ROLE IF EXISTS {READER};
"""
"""Without FORCE: this host's services are stopped, so that who is connected yet is somebody else."""
_IN_USE: Final = (
    "If others are connected (`runuser -u postgres -- psql -c "
    "'SELECT datname, usename, client_addr, application_name FROM pg_stat_activity'` says who), "
    "take the service off the other hosts first, or end what it is. Then run the same command again"
)


def plan_removal(*, purge: bool) -> Iterator[Step]:
    """Return the steps that take services, units and gateway away.

    Args:
        purge: Also what it has kept, as `purge_steps` says.
    """
    yield Step("stop the services", lambda: not _units(), _stop)
    units = (*EDGE_UNITS, *WORKER_UNITS)
    for path in (*(UNITS / name for name in units), HARDENING, POLKIT_RULE, SITE, ADDRESSES, PROGRAM):
        yield _file_goes(path)
    yield from removal_steps()
    yield _does("have systemd read its units", ["systemctl", "daemon-reload"])
    yield _does(
        "have nginx forget the gateway", ["systemctl", "try-reload-or-restart", "nginx"], needs="nginx"
    )
    if purge:
        yield from purge_steps()


def purge_steps() -> Iterator[Step]:
    """Return the steps that delete settings, secrets and journal, and on the last host what hosts share.

    As long as the broker has other nodes, its queues and users and the database are theirs too. A host that
    has left them already sees them no more, and keeps the database.

    Raises:
        InstallationError: Whether it has cannot be told.
    """
    here = f"rabbit@{Options().host}"
    others = other_members(here)
    if others:
        yield from _leave_steps(here, others)
        yield kept(f"queues, dead letters and users of the broker, which it shares with {', '.join(others)}")
    if not others and not has_left():
        yield _database_goes()
    elif succeeds([*_PSQL, f"--dbname={DATABASE}", "-c", ""]):
        yield kept(
            f"the database {DATABASE} on this host, which the other hosts may use; once none does, "
            f"`runuser -u postgres -- dropdb {DATABASE}` deletes it"
        )
    if not others:
        yield _queues_go()
    yield _directory_goes(CONFIGURATION, "settings and secrets")
    yield _directory_goes(STATE, "the journal, with what it has not handed over")
    yield _directory_goes(ADDRESS_STATE, "the platform's list of addresses")
    for account in (SCALER_ACCOUNT, ACCOUNT):
        yield Step(
            f"delete the account {account}",
            lambda account=account: not succeeds(["getent", "passwd", account]),  # type: ignore[misc]
            lambda account=account: run(["userdel", account]),  # type: ignore[misc]
        )


def _database_goes() -> Step:
    return Step(
        f"drop the database {DATABASE} of this host's PostgreSQL, with all events, and its users",
        lambda: not succeeds([*_PSQL, "-c", ""]),
        _drop_database,
    )


def _queues_go() -> Step:
    return Step(
        "delete the queues and users of this host's broker, with what waits and all dead letters",
        lambda: not succeeds(["rabbitmqctl", "status"]),
        _empty_broker,
    )


def _leave_steps(here: str, others: Sequence[str]) -> Iterator[Step]:
    """Leave a cluster that was joined by --cluster; one that serves others besides is not ours to change."""
    if KEPT_COOKIE.exists():
        yield Step(
            f"have {here} leave the cluster with {', '.join(others)}, and be empty",
            lambda: False,
            lambda: leave(here),
        )


def _does(title: str, command: Sequence[str], *, needs: str = "systemctl") -> Step:
    return Step(title, lambda: shutil.which(needs) is None, lambda: run(command))


def _file_goes(path: Path) -> Step:
    return Step(f"delete {path}", lambda: not path.exists(), path.unlink)


def _directory_goes(path: Path, what: str) -> Step:
    return Step(f"delete {path}: {what}", lambda: not path.exists(), lambda: shutil.rmtree(path))


def _units() -> list[str]:
    """Return the units of this host that systemd has loaded; others may be named by these and not be here."""
    listed = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "om-*"])
    return loaded(listed)


def loaded(listed: str) -> list[str]:
    """Return the units of a list of systemctl's that have a file."""
    rows = [line.split() for line in listed.splitlines()]
    return [name for name, state, *_ in rows if state == "loaded"]


def _stop() -> None:
    run(["systemctl", "disable", "--now", "--quiet", *_units()])


def _drop_database() -> None:
    """Drop it, which PostgreSQL refuses while anybody is connected.

    Raises:
        InstallationError: It was not dropped, and what would have gone after it is still there.
    """
    try:
        run(_PSQL, text=_DROP)
    except InstallationError as error:
        raise InstallationError(f"{error}\n{_IN_USE}") from error


def _empty_broker() -> None:
    for queue in topology.QUEUES:
        succeeds(["rabbitmqctl", "--quiet", "delete_queue", queue])
    for user in USER_NAMES:
        succeeds(["rabbitmqctl", "--quiet", "delete_user", user])
