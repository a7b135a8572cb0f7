"""omctl setup: declare the exchanges and queues."""

from dataclasses import asdict
from typing import Final

import click

from messaging.admin import BrokerObject, ObjectState, broker_session, inspect, set_up
from messaging.environment import Environment
from omctl.console import print_json, print_table
from omctl.options import dry_run_option, json_option

ADVICE: Final = {
    ObjectState.DIFFERS: (
        "It exists with other arguments, which no declaration can change. Drain it, delete it (rabbitmqadmin "
        "or the management page) and run omctl setup again."
    ),
    ObjectState.REFUSED: "Give the user of OM_AMQP_URL the permission to configure open-messaging.*",
    ObjectState.MISSING: "omctl setup would create it.",
}


@click.command()
@dry_run_option
@json_option
def setup(*, dry_run: bool, as_json: bool) -> None:
    """Declare the exchanges, queues and bindings in the broker of OM_AMQP_URL.

    Existing ones with the right arguments are left alone, so the command may run again at any time, also
    while the service runs. Those with other arguments are reported and left alone; the exit status is then 1.
    """
    with broker_session(Environment().strings("OM_AMQP_URL"), client_name="omctl setup") as connection:
        objects = inspect(connection) if dry_run else set_up(connection)
    if as_json:
        print_json({"objects": [asdict(item) for item in objects], "done": not dry_run})
    else:
        print_table(("", "name", "state", "what to do"), map(describe_object, objects))
    if any(item.state in {ObjectState.DIFFERS, ObjectState.REFUSED} for item in objects):
        raise SystemExit(1)


def describe_object(item: BrokerObject) -> tuple[str, str, str, str]:
    """Return the table's row for *item*."""
    advice = " ".join(part for part in (item.explanation, ADVICE.get(item.state, "")) if part)
    return item.kind, item.name, item.state.value, advice
