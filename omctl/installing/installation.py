"""List everything that an installation comes to, in its order; an upgrade is the same once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omctl.installing import credentials
from omctl.installing.broker import LISTENERS, server_steps, users_step
from omctl.installing.cluster import cluster_steps
from omctl.installing.configuration import configuration_steps
from omctl.installing.database import READER, database_steps, has_reader, is_ours
from omctl.installing.firewall import firewall_steps
from omctl.installing.first_event import first_event_step
from omctl.installing.gateway import gateway_steps
from omctl.installing.kept_options import keep_step, told_steps
from omctl.installing.step import InstallationError, Step, run
from omctl.installing.units import account_step, start_steps, unit_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omctl.installing.options import Options


def plan_installation(options: Options) -> Iterator[Step]:
    """Return the steps to a host that runs what *options* say.

    Raises:
        InstallationError: A host of one role alone was not told where broker or database are.
    """
    yield from told_steps(options)
    yield account_step()
    yield from credentials.given_steps()
    yield from _servers(options)
    # What could not even be begun, for want of an address or a host's name, is not kept.
    yield keep_step(options)
    yield from credentials.missing_steps()
    yield from configuration_steps(options)
    if options.is_worker:
        reader = ("--read-only-role", READER) if has_reader() else ()
        yield _as_owner("bring the tables up to date", options, "migrate", *reader)
        yield _as_owner("declare exchanges and queues", options, "setup")
    yield from unit_steps(options)
    yield from start_steps(options)
    if options.is_edge:
        yield from gateway_steps(options)
        yield from firewall_steps(options)
    if options.is_edge and options.is_worker:
        yield first_event_step(options)


def _servers(options: Options) -> Iterator[Step]:
    """Return the steps to broker and database; what was named in the environment is there already."""
    if options.cluster:
        yield from cluster_steps(options)
        return
    is_lone = options.is_edge and options.is_worker
    if (is_lone and LISTENERS.exists()) or not credentials.is_named("OM_AMQP_URL"):
        _demand(is_lone, "OM_AMQP_URL", "the broker, and OM_MANAGEMENT_URL its management API")
        yield from server_steps(options)
        yield users_step(options)
    if options.is_worker and ((is_lone and is_ours(options)) or not credentials.is_named("OM_DATABASE_URL")):
        _demand(is_lone, "OM_DATABASE_URL", "the database")
        yield from database_steps(options)


def _demand(is_met: bool, name: str, what: str) -> None:  # noqa: FBT001  # reads like a sentence
    if not is_met:
        raise InstallationError(f"{name} must name {what}: edges and workers of several hosts share it")


def _as_owner(title: str, options: Options, *command: str) -> Step:
    def do() -> None:
        run([f"{options.prefix}/bin/omctl", *command], environment=credentials.owner_environment())

    return Step(title, lambda: False, do)
