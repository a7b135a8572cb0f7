"""omctl register: have the platform post to this service."""

from dataclasses import asdict

import click

from messaging.environment import Environment
from omctl.connect.registrar import Registered, Registrar
from omctl.connect.registration import read_configured
from omctl.connections import open_platform
from omctl.console import print_json, print_table
from omctl.options import dry_run_option, json_option

EXAMPLES = """\b
Examples:
  omctl register --dry-run
  omctl register
  omctl register --check || echo "what is registered is not what is configured"
"""


@click.command(epilog=EXAMPLES)
@click.option("--check", "is_check", is_flag=True, help="Change nothing; exit 1 if anything differs.")
@dry_run_option
@json_option
def register(*, is_check: bool, dry_run: bool, as_json: bool) -> None:
    """Create or change the registrations of OM_REGISTRATION at the platform, then verify them.

    Existing registrations are found by name, so it is safe to run this again; a creation whose answer was
    lost is looked for and never repeated. Headers come from OM_REQUIRED_HEADERS. The secret of
    OM_WEBHOOK_SECRETS is set only if the integration has none or one that the edge does not accept; `omctl
    rotate-secret` changes it without a refused event. Secrets and headers are never shown.
    """
    environment = Environment()
    configured = read_configured(environment)
    for warning in (warning for one in configured for warning in one.warnings):
        click.echo(f"Warning: {warning}", err=True)
    with open_platform(environment) as client:
        registrar = Registrar(client)
        found = [registrar.find(one) for one in configured]
        is_only_looking = is_check or dry_run
        done = found if is_only_looking else [registrar.apply(each) for each in found]
    if as_json:
        registrations = [_as_json(before, after) for before, after in zip(found, done, strict=True)]
        print_json({"registrations": registrations, "done": not is_only_looking})
    else:
        _print(found, done, is_only_looking=is_only_looking)
    if is_check and any(each.differences for each in found):
        raise SystemExit(1)


def _as_json(before: Registered, after: Registered) -> dict[str, object]:
    return {
        "kind": before.configured.kind,
        "name": before.configured.name,
        "id": after.registration_id,
        "existed": before.content is not None,
        "differences": [asdict(each) for each in before.differences],
        "left": [asdict(each) for each in after.differences],
    }


def _print(found: list[Registered], done: list[Registered], *, is_only_looking: bool) -> None:
    rows = [
        (each.configured.kind, one.field, one.registered, one.configured)
        for each in found
        for one in each.differences
    ]
    if rows:
        print_table(("", "field", "registered", "configured"), rows)
    for before, after in zip(found, done, strict=True):
        outcome = _outcome(before, is_only_looking=is_only_looking)
        click.echo(f"{before.configured.kind} {before.configured.name!r} {outcome}{_named(after)}")


def _named(registered: Registered) -> str:
    return "" if registered.registration_id is None else f": {registered.registration_id}"


def _outcome(before: Registered, *, is_only_looking: bool) -> str:
    if before.content is None:
        return "is not registered" if is_only_looking else "was created and verified"
    if before.differences:
        return "differs" if is_only_looking else "was changed and verified"
    return "is as configured"
