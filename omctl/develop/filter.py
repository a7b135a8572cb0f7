"""omctl filter: check event filters before the platform or the workers use them."""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import click

from messaging.environment import Environment
from messaging.errors import ConfigurationError, OpenMessagingError
from omctl.console import print_json, print_table
from omctl.event_files import read_bodies
from omctl.options import json_option
from workers.filters import Filter, FilterError, check_filter, sample
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED, parse_body

EXAMPLES = """\b
Examples:
  omctl filter check "channel.type == 'custom'" --type new
  omctl filter test "routing.status == 'CONTACT-ROUTED'" update.json
  omctl filter check
"""

TYPES: Final = {"new": CONVERSATION_NEW, "message": CONVERSATION_MESSAGE, "updated": CONVERSATION_UPDATED}

MATCHES, NO_MATCH, UNDECIDED = "matches", "does not match", "undecided"


@click.group(name="filter", epilog=EXAMPLES)
def filters() -> None:
    """Check event filters, and try them on bodies. They are CEL expressions: docs/filters.md."""


@filters.command(epilog=EXAMPLES)
@click.argument("expression", required=False)
@click.option(
    "--type", "event_type", type=click.Choice(list(TYPES)),
    help="Check a filter for the platform, over this type's fields. Default: a filter for the workers, over "
    "the fields of all dialects.",
)  # fmt: skip
@json_option
def check(expression: str | None, event_type: str | None, *, as_json: bool) -> None:
    """Check whether EXPRESSION can be used: its syntax, its fields, and the guide's warnings.

    Without EXPRESSION, checks OM_EVENT_FILTER. Exit status 0 also with warnings.
    """
    expression = expression if expression is not None else _read_configured()
    found = check_filter(expression, TYPES[event_type] if event_type else None)
    if as_json:
        print_json({"expression": expression, "warnings": found.warnings})
        return
    _print_warnings(found)
    if not found.warnings:
        click.echo("The filter can be used.")


@filters.command(epilog=EXAMPLES)
@click.argument("expression")
@click.argument("files", type=click.File("rb"), nargs=-1)
@json_option
def test(expression: str, files: tuple[BinaryIO, ...], *, as_json: bool) -> None:
    """Show for each body of FILES whether EXPRESSION matches; without FILES, for the guide's samples.

    A file is one body, an array of bodies, or one body a line; "-" is standard input. Exit status 1 if the
    expression is undecided for a body, because a field is missing or has another type: the workers accept
    such events.
    """
    found = check_filter(expression)
    bodies = _read_files(files) if files else _read_samples()
    results = [{"body": name, "result": _evaluate(found, body)} for name, body in bodies]
    if as_json:
        print_json({"results": results, "warnings": found.warnings})
    else:
        print_table(("body", "result"), [tuple(result.values()) for result in results], empty="No body.")
        _print_warnings(found)
    if any(result["result"].startswith(UNDECIDED) for result in results):
        raise SystemExit(1)


def _print_warnings(found: Filter) -> None:
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")


def _read_configured() -> str:
    expression = Environment().string("OM_EVENT_FILTER")
    if not expression:
        raise ConfigurationError("OM_EVENT_FILTER is not set: give an expression to check")
    return expression


def _evaluate(found: Filter, body: dict[str, Any]) -> str:
    try:
        return MATCHES if found.evaluate(body) else NO_MATCH
    except FilterError as error:
        return f"{UNDECIDED}: {error}"


def _read_samples() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, event_type in TYPES.items():
        yield f"sample of conversation:{name}", sample(event_type)


def _read_files(files: tuple[BinaryIO, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in files:
        for number, raw in enumerate(read_bodies(file), 1):
            name = f"{getattr(file, 'name', '-')}:{number}"
            try:
                yield name, parse_body(raw)
            except OpenMessagingError as error:
                raise click.UsageError(f"{name}: {error}") from None
