"""omctl drift: see what the platform sends that this version does not know, and accept it."""

from __future__ import annotations

from dataclasses import asdict

import click

from messaging.clock import SystemClock
from omctl.console import dry_run_option, json_option, print_json, print_table
from omctl.database import operators_database
from omctl.person import person
from workers.db.engine import transact
from workers.db.ingest import accept_drift, noted_drift


@click.group()
def drift() -> None:
    """See what the platform sends that this version does not know, and accept it."""


@drift.command("list")
@click.option("--all", "with_accepted", is_flag=True, help="Those too that were accepted.")
@json_option
def list_drift(*, with_accepted: bool, as_json: bool) -> None:
    """List unknown fields, unknown values and wrong types, the newest first."""
    with operators_database() as engine:
        records = transact(engine, lambda connection: noted_drift(connection, with_accepted=with_accepted))
    if as_json:
        print_json([asdict(each) for each in records])
        return
    print_table(
        ("kind", "name", "sample", "seen in", "times", "first seen", "last seen", "accepted by"),
        [
            (
                each.kind,
                each.name,
                each.sample or "",
                each.event_type,
                str(each.count),
                f"{each.first_seen_at:%Y-%m-%d %H:%M}",
                f"{each.last_seen_at:%Y-%m-%d %H:%M}",
                each.accepted_by or "",
            )
            for each in records
        ],
    )


@drift.command()
@click.argument("names", nargs=-1, required=True)
@dry_run_option
@json_option
def accept(names: tuple[str, ...], *, dry_run: bool, as_json: bool) -> None:
    """Have NAMES listed no more; your user name goes on record."""
    with operators_database() as engine:
        if dry_run:
            news = transact(engine, lambda connection: noted_drift(connection, with_accepted=False))
            accepted = {each.name for each in news} & set(names)
        else:
            now_us = SystemClock().now_us()
            accepted = transact(engine, lambda connection: accept_drift(connection, names, person(), now_us))
    unknown = [name for name in names if name not in accepted]
    if as_json:
        print_json({"accepted": sorted(accepted), "unknown": unknown, "done": not dry_run})
    else:
        print_table(
            ("name", "drift"),
            [
                *((name, "would be accepted" if dry_run else "accepted") for name in sorted(accepted)),
                *((name, "is no news") for name in unknown),
            ],
        )
    if unknown:
        raise SystemExit(1)
