"""omctl filter: try event filters here, before the platform or the workers are given them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from messaging.environment import Environment
from messaging.errors import ConfigurationError, OpenMessagingError
from omctl.bodies import bodies_of
from omctl.console import json_option, print_json, print_table
from workers.filters import FilterError, checked, sample
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED, parse_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from workers.filters import Filter

EXAMPLES = """\b
Examples:
  omctl filter check "channel.type == 'custom'" --type new
  omctl filter test "routing.status == 'CONTACT-ROUTED'" update.json
  omctl filter check
"""

TYPES: Final = {"new": CONVERSATION_NEW, "message": CONVERSATION_MESSAGE, "updated": CONVERSATION_UPDATED}

HOLDS, HOLDS_NOT, UNTOLD = "holds", "does not hold", "cannot be told"


@click.group(name="filter", epilog=EXAMPLES)
def filters() -> None:
    """Check event filters, and try them on bodies. They are expressions in CEL: docs/filters.md."""


@filters.command(epilog=EXAMPLES)
@click.argument("expression", required=False)
@click.option(
    "--type",
    "event_type",
    type=click.Choice(list(TYPES)),
    help="Of a filter for the platform: the events of this type are what it takes. "
    "Without it, a filter for the workers, over the fields of all dialects.",
)
@json_option
def check(expression: str | None, event_type: str | None, *, as_json: bool) -> None:
    """Say whether EXPRESSION can be used: its form, its fields, and what the guide warns of.

    Without EXPRESSION the one of OM_EVENT_FILTER. Exit status 1 where it cannot, 0 with warnings.
    """
    expression = expression if expression is not None else _configured()
    found = checked(expression, TYPES[event_type] if event_type else None)
    if as_json:
        print_json({"expression": expression, "warnings": found.warnings})
        return
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")
    if not found.warnings:
        click.echo("In order.")


@filters.command(epilog=EXAMPLES)
@click.argument("expression")
@click.argument("files", type=click.File("rb"), nargs=-1)
@json_option
def test(expression: str, files: tuple[BinaryIO, ...], *, as_json: bool) -> None:
    """Say of each body of FILES whether EXPRESSION holds of it, or of the guide's samples without FILES.

    A file is one body, an array of bodies, or one a line; "-" is standard input. Exit status 1 where it
    cannot be told of one: the workers take such events in.
    """
    found = checked(expression)
    results = [
        {"body": name, "result": _result_of(found, body)}
        for name, body in (_named(files) if files else _samples())
    ]
    if as_json:
        print_json({"results": results, "warnings": found.warnings})
    else:
        print_table(("body", "result"), [(each["body"], each["result"]) for each in results])
        for warning in found.warnings:
            click.echo(f"Warning: {warning}")
    if any(each["result"].startswith(UNTOLD) for each in results):
        raise SystemExit(1)


def _configured() -> str:
    expression = Environment().string("OM_EVENT_FILTER")
    if not expression:
        raise ConfigurationError("OM_EVENT_FILTER is not set: name an expression to check")
    return expression


def _result_of(found: Filter, body: dict[str, Any]) -> str:
    try:
        return HOLDS if found.evaluate(body) else HOLDS_NOT
    except FilterError as error:
        return f"{UNTOLD}: {error}"


def _samples() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, event_type in TYPES.items():
        yield f"sample of conversation:{name}", sample(event_type)


def _named(files: tuple[BinaryIO, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in files:
        for number, raw in enumerate(bodies_of(file), 1):
            name = f"{getattr(file, 'name', '-')}:{number}"
            try:
                yield name, parse_body(raw)
            except OpenMessagingError as error:
                raise click.UsageError(f"{name}: {error}") from None
