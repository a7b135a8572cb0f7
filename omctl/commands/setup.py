"""omctl setup: declare the exchanges and queues."""

from __future__ import annotations

from dataclasses import asdict

import click

from messaging.admin import BrokerObject, ObjectState, broker_session, inspect, set_up
from messaging.environment import Environment
from omctl.console import dry_run_option, json_option, print_json, print_table

ADVICE = {
    ObjectState.DIFFERS: (
        "It exists with other arguments, which no declaration can change. Drain it, delete it "
        "(rabbitmqadmin or the management page) and run omctl setup again."
    ),
    ObjectState.REFUSED: "Give the user of OM_AMQP_URL the permission to configure open-messaging.*",
    ObjectState.MISSING: "omctl setup would make it.",
}


@click.command()
@dry_run_option
@json_option
def setup(*, dry_run: bool, as_json: bool) -> None:
    """Declare the exchanges, queues and bindings in the broker of OM_AMQP_URL.

    What already exists alike is left alone, so that running it again is safe, while the service runs too.
    What exists with other arguments is reported and left alone; the exit status is then 1.
    """
    with broker_session(Environment().strings("OM_AMQP_URL"), client_name="omctl setup") as connection:
        objects = inspect(connection) if dry_run else set_up(connection)
    if as_json:
        print_json([asdict(item) for item in objects])
    else:
        print_table(("", "name", "state", "what to do"), map(setup_row, objects))
    if any(item.state in {ObjectState.DIFFERS, ObjectState.REFUSED} for item in objects):
        raise SystemExit(1)


def setup_row(item: BrokerObject) -> tuple[str, str, str, str]:
    """Return what a person is told of *item*."""
    advice = " ".join(part for part in (item.explanation, ADVICE.get(item.state, "")) if part)
    return item.kind, item.name, item.state.value, advice
