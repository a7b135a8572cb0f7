"""omctl check: check each area of the service, and show the problems and their remedies."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from messaging.environment import Environment
from omctl.installing.options import BOTH, Role, resolve_options
from omctl.installing.steps import InstallationError
from omctl.interface import Command, fold, json_option, show_json, visible
from omctl.look.broker import check_broker, check_management, withdraw_counts
from omctl.look.database import check_database
from omctl.look.edge import check_addresses, check_canary, check_certificate, check_edge, check_journals
from omctl.look.findings import Finding, Level, check_areas, note, warning
from omctl.look.settings import check_settings, explain_settings

CHECK_SECONDS: Final = 8.0
"""The time limit for checking all areas, chosen so that the whole command ends within 10 s."""

COLOURS: Final = {Level.OK: "green", Level.NOTE: "blue", Level.WARNING: "yellow", Level.PROBLEM: "red"}
WORST_FIRST: Final = (Level.PROBLEM, Level.WARNING, Level.NOTE)


@click.command(cls=Command)
@click.option(
    "--role", type=click.Choice([*(role.value for role in Role), BOTH]),
    help="Check only this role. Default: the roles that were installed on this host, otherwise both.",
)  # fmt: skip
@click.option("--settings", "only_settings", is_flag=True, help="Explain every setting, and check nothing.")
@click.option("--verbose", is_flag=True, help="Show every finding.")
@json_option
def check(*, role: str | None, only_settings: bool, verbose: bool) -> None:
    """Check the settings, broker, database, edge and journals; show what is wrong and what to do.

    Problems come first, then warnings and notes; each healthy area takes one line. The areas are checked
    independently of each other, within 10 seconds. A host with only the edge needs no database; a host with
    only workers needs no edge. The command changes nothing. Exit status 1: at least one problem was found.

    --settings shows each setting's value, its source (settings file, environment, file, credential, default),
    its unit and effect, and whether a new value needs a reload or a restart.
    """
    if only_settings:
        settings = explain_settings()
        if not show_json({"settings": settings}):
            for setting in sorted(settings, key=lambda setting: setting["source"] == "default"):
                click.echo("{name} = {value}  ({source})".format_map(setting))
                click.echo(fold("{text} Applied by: {applied_by}.".format_map(setting), "    ", "    "))
        return
    findings = withdraw_counts(check_areas(_list_areas(*find_roles(role)), CHECK_SECONDS))
    has_problem = any(finding.level is Level.PROBLEM for finding in findings)
    if not show_json({"ok": not has_problem, "findings": [asdict(finding) for finding in findings]}):
        for finding in findings if verbose else summarise(findings):
            colour, is_bad = COLOURS[finding.level], finding.level is Level.PROBLEM
            level = click.style(f"{finding.level:8}", fg=colour, bold=is_bad)
            text = visible(f"{finding.area}: {finding.subject} {finding.text}".replace(":  ", ": "))
            click.echo(f"{level} {fold(text, ' ' * 9, ' ' * 9).lstrip()}")
            if finding.advice:
                click.echo(fold(f"→ {visible(finding.advice)}", " " * 9, " " * 11))
        counts = Counter(finding.level for finding in findings)
        click.echo(f"check: problems={counts[Level.PROBLEM]} warnings={counts[Level.WARNING]}")
    if has_problem:
        raise SystemExit(1)


def find_roles(given: str | None) -> tuple[frozenset[Role], list[Finding]]:
    """Return the roles to check (*given*, else the installed ones), and a note if only one is checked."""
    try:
        roles = resolve_options({} if given is None else {"role": given}).roles
    except InstallationError as error:
        return frozenset(Role), [warning("role", "is unknown", str(error))]
    if len(roles) > 1:
        return roles, []
    text = f"only {min(roles)}: the other role is not checked"
    return roles, [note("role", text, "Check everything: omctl check --role both.")]


def _list_areas(roles: frozenset[Role], notes: list[Finding]) -> dict[str, Callable[[], Iterable[Finding]]]:
    """Return each area's check. A check reads its own settings, so that it can report malformed ones."""
    areas: dict[str, Callable[[], Iterable[Finding]]] = {
        "settings": lambda: [*notes, *check_settings(roles)],
        "broker": check_broker,
        "management": lambda: check_management(
            Environment().strings("OM_MANAGEMENT_URL"), Environment().strings("OM_AMQP_URL")
        ),
        "certificate": lambda: check_certificate(Environment().string("OM_CANARY_URL")),
    }
    if Role.WORKER in roles:
        areas["database"] = check_database
        areas["canary"] = lambda: [check_canary(Environment())]
    if Role.EDGE in roles:
        bind = ("OM_BIND", "127.0.0.1:8080")
        areas["edge"] = lambda: [*check_edge(Environment().string(*bind)), *check_addresses()]
        state = ("OM_STATE_DIRECTORY", "/var/lib/open-messaging")
        areas["journal"] = lambda: check_journals(Path(Environment().string(*state)))
    return areas


def summarise(findings: list[Finding]) -> list[Finding]:
    """Return all findings that are not ok, worst first, and one summary for each healthy area."""
    bad = {finding.area for finding in findings if finding.level in {Level.PROBLEM, Level.WARNING}}
    healthy = Counter(finding.area for finding in findings if finding.level is Level.OK)
    return [
        *(finding for level in WORST_FIRST for finding in findings if finding.level is level),
        *(Finding(Level.OK, "", f"{n} checked", area=area) for area, n in healthy.items() if area not in bad),
    ]
