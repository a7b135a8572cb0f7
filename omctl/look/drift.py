"""omctl drift: list unknown fields and values that the platform sends, and accept them."""

from dataclasses import asdict

import click

from messaging.clock import SystemClock
from omctl.connections import open_database
from omctl.console import format_time, print_json, print_table
from omctl.interventions import os_user
from omctl.options import change_options, json_option
from workers.db.engine import transact
from workers.db.ingest import accept_drift, read_drift


@click.group()
def drift() -> None:
    """List unknown fields and values that the platform sends, and accept them."""


@drift.command("list")
@click.option("--all", "with_accepted", is_flag=True, help="Also those that were accepted.")
@json_option
def list_(*, with_accepted: bool, as_json: bool) -> None:
    """List unknown fields, unknown values and wrong types, newest first."""
    with open_database() as engine:
        records = transact(engine, lambda connection: read_drift(connection, with_accepted=with_accepted))
    if as_json:
        print_json({"drift": [asdict(record) for record in records]})
        return
    print_table(
        ("name", "kind", "sample", "times", "last seen", "seen in", "accepted by"),
        [
            (
                record.name,
                record.kind.replace("_", " "),
                record.sample or "",
                str(record.count),
                format_time(record.last_seen_at),
                record.event_type.removeprefix("openmessaging:"),
                record.accepted_by or "",
            )
            for record in records
        ],
        empty="No drift: the platform sends nothing that this version does not know.",
    )


@drift.command()
@click.argument("names", nargs=-1, required=True)
@change_options
def accept(names: tuple[str, ...], *, dry_run: bool, as_json: bool) -> None:
    """Take NAMES off the list; your user name is recorded."""
    with open_database() as engine:
        if dry_run:
            listed = transact(engine, lambda connection: read_drift(connection, with_accepted=False))
            accepted = {record.name for record in listed} & set(names)
        else:
            now_us = SystemClock().now_us()
            accepted = transact(engine, lambda connection: accept_drift(connection, names, os_user(), now_us))
    unknown = [name for name in names if name not in accepted]
    if as_json:
        done = bool(accepted) and not dry_run
        print_json({"accepted": sorted(accepted), "unknown": unknown, "done": done})
    else:
        verb = "would be accepted" if dry_run else "accepted"
        rows = [*((name, verb) for name in sorted(accepted)), *((name, "not listed") for name in unknown)]
        print_table(("name", "drift"), rows)
    if unknown:
        raise SystemExit(1)
