"""omctl drift: list unknown fields and values that the platform sends, and accept them."""

import click

from messaging.clock import SystemClock
from omctl.connections import in_database
from omctl.interface import Group, change_options, json_option, print_table, show_json
from omctl.interventions import os_user
from workers.db.ingest import accept_drift, read_drift


@click.group(cls=Group)
def drift() -> None:
    """List unknown fields and values that the platform sends, and accept them."""


@drift.command("list")
@click.option("--all", "with_accepted", is_flag=True, help="Also list accepted fields and values.")
@json_option
def list_(*, with_accepted: bool) -> None:
    """List unknown fields, unknown values and wrong types, newest first."""
    records = in_database(read_drift, with_accepted=with_accepted)
    if show_json({"drift": [dict(record) for record in records]}):
        return
    print_table(
        ("name", "kind", "sample", "times", "last seen", "seen in", "accepted by"),
        [
            (
                record["name"],
                record["kind"].replace("_", " "),
                record["sample"],
                record["count"],
                record["last_seen_at"],
                record["event_type"].removeprefix("openmessaging:"),
                record["accepted_by"],
            )
            for record in records
        ],
        empty="No drift: the platform sends nothing that this version does not know.",
    )


@drift.command()
@click.argument("names", nargs=-1, required=True)
@change_options
def accept(names: tuple[str, ...], *, dry_run: bool) -> None:
    """Accept NAMES: take them off the list, and record your user name."""
    if dry_run:
        listed = in_database(read_drift, with_accepted=False)
        accepted = {record["name"] for record in listed} & set(names)
    else:
        accepted = in_database(accept_drift, names, os_user(), SystemClock().now_us())
    unknown = [name for name in names if name not in accepted]
    done = bool(accepted) and not dry_run
    if not show_json({"accepted": sorted(accepted), "unknown": unknown, "done": done}):
        verb = "would be accepted" if dry_run else "accepted"
        rows = [*((name, verb) for name in sorted(accepted)), *((name, "not listed") for name in unknown)]
        print_table(("name", "drift"), rows)
    if unknown:
        raise SystemExit(1)
