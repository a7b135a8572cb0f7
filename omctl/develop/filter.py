"""omctl filter: check event filters before the platform or the workers use them."""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import click

from messaging.environment import Environment
from messaging.errors import ConfigurationError, OpenMessagingError
from omctl.event_files import read_bodies
from omctl.interface import Command, Group, json_option, print_table, show_json
from workers.filters import Filter, FilterError, check_filter, sample
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED, parse_body

TYPES: Final = {"new": CONVERSATION_NEW, "message": CONVERSATION_MESSAGE, "updated": CONVERSATION_UPDATED}

UNDECIDED: Final = "undecided"


@click.group(name="filter", cls=Group)
def filters() -> None:
    """Check event filters, and try them on bodies. Filters are CEL expressions: see docs/filters.md.

    Examples:
      omctl filter check "channel.type == 'custom'" --type new
      omctl filter test "routing.status == 'CONTACT-ROUTED'" update.json
      omctl filter check
    """


@filters.command(cls=Command)
@click.argument("expression", required=False)
@click.option(
    "--type", "event_type", type=click.Choice(list(TYPES)),
    help="Check a filter for the platform, over this type's fields. Default: a filter for the workers, over "
    "the fields of all dialects.",
)  # fmt: skip
@json_option
def check(expression: str | None, event_type: str | None) -> None:
    """Check EXPRESSION's syntax and fields, and show the guide's warnings about it.

    Without EXPRESSION, OM_EVENT_FILTER is checked. The exit status is 0 even if there are warnings.

    Examples:
      omctl filter check "channel.type == 'custom'" --type new
      omctl filter check
    """
    if expression is None and not (expression := Environment().string("OM_EVENT_FILTER")):
        raise ConfigurationError("OM_EVENT_FILTER is not set: give an expression to check")
    found = check_filter(expression, TYPES[event_type] if event_type else None)
    if show_json({"expression": expression, "warnings": found.warnings}):
        return
    _print_warnings(found)
    if not found.warnings:
        click.echo("The filter can be used.")


@filters.command(cls=Command)
@click.argument("expression")
@click.argument("files", type=click.File("rb"), nargs=-1)
@json_option
def test(expression: str, files: tuple[BinaryIO, ...]) -> None:
    """Show whether EXPRESSION matches each body in FILES or, without FILES, each of the guide's samples.

    A file contains one body, an array of bodies, or one body per line; "-" is standard input. The exit status
    is 1 if the result for a body is undecided because a field is missing or has a different type. The workers
    accept such events.

    Examples:
      omctl filter test "routing.status == 'CONTACT-ROUTED'" update.json
    """
    found = check_filter(expression)
    samples = ((f"sample of conversation:{name}", sample(event_type)) for name, event_type in TYPES.items())
    bodies = _read_files(files) if files else samples
    results = [{"body": name, "result": _evaluate(found, body)} for name, body in bodies]
    if not show_json({"results": results, "warnings": found.warnings}):
        print_table(("body", "result"), [tuple(result.values()) for result in results], empty="No bodies.")
        _print_warnings(found)
    if any(result["result"].startswith(UNDECIDED) for result in results):
        raise SystemExit(1)


def _print_warnings(found: Filter) -> None:
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")


def _evaluate(found: Filter, body: dict[str, Any]) -> str:
    try:
        return "matches" if found.evaluate(body) else "does not match"
    except FilterError as error:
        return f"{UNDECIDED}: {error}"


def _read_files(files: tuple[BinaryIO, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in files:
        for number, raw in enumerate(read_bodies(file), 1):
            name = f"{getattr(file, 'name', '-')}:{number}"
            try:
                yield name, parse_body(raw)
            except OpenMessagingError as error:
                raise click.UsageError(f"{name}: {error}") from None
