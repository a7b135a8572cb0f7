"""omctl check: say what is configured, what answers, what is wrong, what to do."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import click
from rich.text import Text

from messaging.environment import Environment
from messaging.settings_file import file_variables, variables_now
from omctl.check import (
    Explained,
    Finding,
    Level,
    check_addresses,
    check_broker,
    check_configuration,
    check_database,
    check_edge,
    check_journals,
    check_management,
    check_proof,
    explained,
    oversized_findings,
    secret_findings,
)
from omctl.console import json_option, print_json, print_table
from omctl.installing import BOTH, InstallationError, Role, options_of

AREA = "configuration"
STYLES = {Level.OK: "green", Level.NOTE: "blue", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


@click.command()
@click.option(
    "--role", type=click.Choice([*(role.value for role in Role), BOTH]),
    help="What this host does: the other part is left out. Default: as it was installed, otherwise both.",
)  # fmt: skip
@click.option("--settings", "only_settings", is_flag=True, help="Explain every setting, and look no further.")
@json_option
def check(*, role: str | None, only_settings: bool, as_json: bool) -> None:
    """Look at the settings, broker, database, edge and journals; say what is wrong and what to do.

    A host that was installed as an edge alone is not asked for a database, one of workers alone not for an
    edge. With --settings: what holds of each, where it came from (settings file, environment, file,
    credential, default), its unit and effect, and whether another value needs a restart. Changes nothing.
    Exit status 0: nothing is wrong, warnings at most. 1: at least one problem.
    """
    if only_settings:
        _explain(explained(), as_json=as_json)
        return
    roles, told = roles_of(role)
    findings = told + all_findings(Environment(), roles)
    if as_json:
        print_json({"ok": not problems(findings), "findings": [asdict(finding) for finding in findings]})
    else:
        for area, of_area in groupby(findings, key=attrgetter("area")):
            print_table(("", "what", "found"), map(finding_row, of_area), title=area)
        click.echo(verdict(findings))
    if problems(findings):
        raise SystemExit(1)


def _explain(settings: list[Explained], *, as_json: bool) -> None:
    if as_json:
        print_json({"settings": [asdict(each) for each in settings]})
        return
    rows = [(each.name, each.value, each.source, f"{each.text}\n→ {each.taken_up}") for each in settings]
    print_table(("setting", "value", "from", "what it is → what takes another value up"), rows)


def roles_of(said: str | None) -> tuple[frozenset[Role], list[Finding]]:
    """Return what this host does, and what there is to tell of that.

    Args:
        said: On the command line; None: as the host was installed.
    """
    try:
        roles = options_of({} if said is None else {"role": said}).roles
    except InstallationError as error:
        return frozenset(Role), [Finding(AREA, "role", Level.WARNING, "is unknown", str(error))]
    if len(roles) > 1:
        return roles, []
    text = f"{min(roles)} alone: what the other part has is not looked at"
    return roles, [Finding(AREA, "role", Level.NOTE, text, "Everything: omctl check --role both.")]


def all_findings(environment: Environment, roles: frozenset[Role]) -> list[Finding]:
    """Look at everything that the roles have, each part by itself: one that is away hides no other."""
    amqp_urls = environment.strings("OM_AMQP_URL")
    management_urls = environment.strings("OM_MANAGEMENT_URL")
    return [
        *check_configuration(variables_now(), roles),
        *secret_findings(file_variables()),
        *check_broker(amqp_urls),
        *check_management(management_urls, amqp_urls),
        *(check_database(environment) if Role.WORKER in roles else ()),
        *(_edge_findings(environment, len(amqp_urls), len(management_urls)) if Role.EDGE in roles else ()),
    ]


def _edge_findings(environment: Environment, nodes: int, managed: int) -> list[Finding]:
    state_directory = Path(environment.string("OM_STATE_DIRECTORY", "/var/lib/open-messaging"))
    has_confirms = environment.boolean("OM_PUBLISHER_CONFIRMS", default=False)
    return [
        *check_proof(nodes, managed, has_confirms=has_confirms),
        *check_edge(environment.string("OM_BIND", "127.0.0.1:8080")),
        *check_addresses(),
        *check_journals(state_directory / "journal"),
        *oversized_findings(state_directory / "oversized"),
    ]


def problems(findings: list[Finding]) -> list[Finding]:
    """Return the findings that make the exit status 1."""
    return [finding for finding in findings if finding.level is Level.PROBLEM]


def finding_row(finding: Finding) -> tuple[Text, str, str]:
    """Return the row of *finding*: its level in colour, its subject, and its text with the advice below."""
    advice = f"\n→ {finding.advice}" if finding.advice else ""
    return Text(finding.level, style=STYLES[finding.level]), finding.subject, finding.text + advice


def verdict(findings: list[Finding]) -> str:
    """Return the last line: how many of what."""
    wrong = len(problems(findings))
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    return f"check: problems={wrong} warnings={warnings}"
