"""Remove the service from a host. Its data is deleted only if the operator purges it."""

import shutil
from collections.abc import Iterator
from functools import partial
from typing import Final

from messaging import topology
from omctl.installing import broker, database, steps
from omctl.installing.cluster import STORED_COOKIE, has_left, leave, other_members
from omctl.installing.database import DATABASE, OWNER, PSQL, READER, SERVICE
from omctl.installing.gateway import ADDRESSES, REMOVED_SITE, SITE, firewall_removal_steps
from omctl.installing.options import ACCOUNT, CONFIGURATION, SCALER_ACCOUNT, STATE, Options
from omctl.installing.steps import UNITS, InstallationError, Step, always, commands, kept, run, succeeds
from omctl.installing.units import EDGE_UNITS, HARDENING, MANUAL, POLKIT_RULE, PROGRAM, SCALER, WORKER_UNITS
from webhook_api.health import PLATFORM_LIST

_DROP: Final = f"""\
DROP DATABASE IF EXISTS {DATABASE};
DROP ROLE IF EXISTS {OWNER};
DROP ROLE IF EXISTS {SERVICE};
DROP ROLE IF EXISTS {READER};
"""
"""Do not use FORCE: this host's services are stopped, so any open connections belong to other hosts."""
_IN_USE: Final = (
    "If others are connected (`runuser -u postgres -- psql -c "
    "'SELECT datname, usename, client_addr, application_name FROM pg_stat_activity'` lists them), "
    "remove the service from the other hosts first, or end the connections. Then run the same command again"
)


def plan_removal(*, purge: bool) -> Iterator[Step]:
    """Yield the steps that remove the services, units and gateway and, with *purge*, the data."""
    yield Step("stop the services", lambda: not _units(), _stop)
    units = (*EDGE_UNITS, *WORKER_UNITS)
    for path in (*(UNITS / name for name in units), HARDENING, POLKIT_RULE, ADDRESSES, PROGRAM, MANUAL):
        yield steps.delete_step(path)
    yield Step(f"move {SITE} to {REMOVED_SITE}", lambda: not SITE.exists(), _move_site)
    yield from firewall_removal_steps()
    yield always("reload systemd's units", commands("systemctl daemon-reload"))
    reload = commands("systemctl try-reload-or-restart nginx")
    yield Step("reload nginx", lambda: shutil.which("nginx") is None, reload)
    if purge:
        yield from purge_steps()


def purge_steps() -> Iterator[Step]:
    """Yield the steps that delete settings, secrets and the journal and, on the last host, shared data.

    Queues, users and the database stay while the broker has other nodes. A host that left the cluster can no
    longer see the others, so it keeps the database. A step fails if its server is installed but stopped.
    """
    here = f"rabbit@{Options().host}"
    others = other_members(here)
    if others:
        # Leave the cluster only if `omctl install --cluster` created it.
        if STORED_COOKIE.exists():
            title = f"remove {here} from the cluster with {', '.join(others)}, and empty it"
            yield always(title, lambda: leave(here))
        yield kept(f"queues, dead letters and users of the broker, which are shared with {', '.join(others)}")
    if not others and not has_left():
        yield Step(
            f"drop the database {DATABASE} of this host's PostgreSQL, with all events, and its users",
            lambda: not steps.is_installed(database.PACKAGE),
            _drop_database,
        )
    elif succeeds([*PSQL, f"--dbname={DATABASE}", "-c", ""]):
        yield kept(
            f"the database {DATABASE} on this host, which other hosts may use; once none does, "
            f"`runuser -u postgres -- dropdb {DATABASE}` deletes it"
        )
    if not others:
        yield Step(
            "delete the queues and users of this host's broker, with all messages and dead letters",
            lambda: not steps.is_installed(broker.PACKAGE),
            _empty_broker,
        )
    yield from _delete_steps()


def _delete_steps() -> Iterator[Step]:
    for path, content in (
        (CONFIGURATION, "settings and secrets"),
        (STATE, "the journal, with unpublished events"),
        (PLATFORM_LIST.parent, "the platform's list of addresses"),
    ):
        is_gone = not path.exists()
        yield Step(f"delete {path}: {content}", partial(bool, is_gone), partial(shutil.rmtree, path))
    for account in (SCALER_ACCOUNT, ACCOUNT):
        has_none = not succeeds(f"getent passwd {account}")
        yield Step(f"delete the account {account}", partial(bool, has_none), commands(f"userdel {account}"))


def _move_site() -> None:
    steps.replace(REMOVED_SITE, SITE.read_text(encoding="utf-8"), mode=0o644)
    SITE.unlink()


def _units() -> list[str]:
    """Return our units that have a unit file; systemctl also lists names that only other units mention."""
    listed = run("systemctl list-units --all --plain --no-legend 'om-*'")
    rows = [line.split() for line in listed.splitlines()]
    return [name for name, state, *_ in rows if state == "loaded"]


def _stop() -> None:
    # Stop the scaler first: it could start a worker that is being stopped, which would cancel the stop.
    for units in ([name for name in _units() if name == SCALER], _units()):
        if units:
            run(["systemctl", "disable", "--now", *units])
            succeeds(["systemctl", "reset-failed", *units])


def _drop_database() -> None:
    """Drop the database. If PostgreSQL refuses because a client is connected, no later step runs."""
    try:
        run(PSQL, text=_DROP)
    except InstallationError as error:
        raise InstallationError(f"{error}\n{_IN_USE}") from error


def _empty_broker() -> None:
    users = [f"open-messaging-{user}" for user in broker.USERS]
    for kind, names in (("queue", topology.QUEUES), ("user", users)):
        listed = run(f"rabbitmqctl --quiet list_{kind}s").splitlines()
        for name in {line.split("\t")[0] for line in listed}.intersection(names):
            run(f"rabbitmqctl --quiet delete_{kind} {name}")
