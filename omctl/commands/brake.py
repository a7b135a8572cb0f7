"""omctl brake: see which workers hold their events, and tell them to go on."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from messaging.clock import SystemClock
from omctl.console import dry_run_option, json_option, print_json, print_table
from omctl.database import operators_database
from omctl.person import person
from workers.tables import (
    RELEASE_BRAKE,
    Intervention,
    begin_intervention,
    braked_workers,
    end_intervention,
    release_brakes,
    transact,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

EXAMPLES: Final = """\b
Examples:
  omctl brake list
  omctl brake release --minutes 10 --reason "a test of ours sends nothing but bad events"
"""


@click.group(epilog=EXAMPLES)
def brake() -> None:
    """See which workers hold their events, as nearly all became dead letters; tell them to go on."""


@brake.command("list")
@json_option
def list_brakes(*, as_json: bool) -> None:
    """List the intake workers that hold their events."""
    with operators_database() as engine:
        found = transact(engine, lambda connection: braked_workers(connection, SystemClock().now_us()))
    if as_json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("worker", "holds its events since", "dead letters", "told to go on until"),
        [
            (
                each.worker,
                f"{each.braked_at:%Y-%m-%d %H:%M:%S}",
                f"{each.died} of the last {each.judged}",
                f"{each.released_until:%Y-%m-%d %H:%M}" if each.released_until else "",
            )
            for each in found
        ],
    )


@brake.command()
@click.argument("workers", nargs=-1, metavar="[WORKER]...")
@click.option(
    "--minutes",
    type=click.FloatRange(1),
    default=15.0,
    show_default=True,
    help="For so long they hold nothing, however many die.",
)
@click.option(
    "--reason", default="", help="Why: goes on record with your user name. Needed but for --dry-run."
)
@dry_run_option
@json_option
def release(workers: tuple[str, ...], *, minutes: float, reason: str, dry_run: bool, as_json: bool) -> None:
    """Tell WORKERS, or all that hold their events, to go on: what dies becomes a dead letter.

    A worker whose deployment is mended need not be told: it goes on by itself. Each notices within 30 s.
    """
    if not (reason or dry_run):
        raise click.UsageError("--reason is needed: it goes on record with your user name.")
    now_us = SystemClock().now_us()
    with operators_database() as engine:
        found = transact(engine, lambda connection: braked_workers(connection, now_us))
        chosen = [each.worker for each in found if not workers or each.worker in workers]
        if chosen and not dry_run:
            transact(engine, partial(_release, workers=chosen, minutes=minutes, reason=reason, now_us=now_us))
    unknown = sorted(set(workers) - set(chosen))
    if as_json:
        print_json({"released": chosen, "unknown": unknown, "done": not dry_run})
    else:
        told = "would be told to go on" if dry_run else "told to go on"
        rows = [*((each, told) for each in chosen), *((each, "holds nothing") for each in unknown)]
        print_table(("worker", "brake"), rows)
    if unknown:
        raise SystemExit(1)


def _release(
    connection: Connection, *, workers: Sequence[str], minutes: float, reason: str, now_us: int
) -> None:
    intervention_id = secrets.token_hex(8)
    selection = json.dumps({"workers": workers, "minutes": minutes})
    record = Intervention(
        intervention_id, RELEASE_BRAKE, person(), reason, selection, again=False, chosen=len(workers)
    )
    begin_intervention(connection, record, now_us)
    release_brakes(connection, workers, now_us + round(minutes * 60_000_000), intervention_id)
    end_intervention(connection, intervention_id, len(workers), is_cancelled=False, now_us=now_us)
