"""omctl ipranges: write the platform's published addresses as an allow-list."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from messaging.environment import Environment
from omctl.address_ranges import FORMATS, SERVICE, Network, read_plain, select
from omctl.connections import open_platform
from omctl.console import print_json
from omctl.installing.steps import replace
from omctl.options import dry_run_option, json_option
from workers.genesys import find_region

PATH: Final = "/api/v2/ipranges"
EVERY_REGION: Final = "all"

EXAMPLES = """\b
Examples:
  omctl ipranges --format nginx
  omctl ipranges --format nginx --output /etc/nginx/open-messaging-addresses.conf
  omctl ipranges --format nftables --output /etc/nftables.d/open-messaging.nft
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="plain", show_default=True,
    help="nginx: $om_from_platform for a log or a rule; nftables: sets platform4 and platform6.",
)  # fmt: skip
@click.option(
    "--region", metavar="NAME",
    help="Such as eu-central-1 or mypurecloud.de; all for every region. Default: OM_GENESYS_REGION.",
)  # fmt: skip
@click.option(
    "--from", "source", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Convert this list of the format plain instead of asking the platform.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Replace this file atomically."
)
@dry_run_option
@json_option
def ipranges(  # click passes them by name
    form: str,
    region: str | None,
    source: Path | None,
    output: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fetch the addresses that the platform posts from, and write them as an allow-list.

    If the platform does not answer, or its list cannot be right (none for the region, a network as wide as a
    continent), the file stays as it was and the exit status is 1. A file that is up to date gets a new time
    of change. On an installed host om-ipranges.timer does this daily.
    """
    if source is None:
        networks, heading = _fetch(region)
    else:
        networks = read_plain(_read(source))
        heading = f"Genesys Cloud, {SERVICE}: {len(networks)} networks from {source}"
    text = FORMATS[form](networks, heading)
    is_changed = output is not None and _drop_heading(text) != _drop_heading(_read(output))
    if output is not None and not dry_run:
        if is_changed:
            replace(output, text, mode=0o644)
        os.utime(output)
    if as_json:
        print_json({"networks": networks, "changed": is_changed, "done": is_changed and not dry_run})
    elif output is None:
        click.echo(text, nl=False)
    else:
        state = ("would be replaced" if dry_run else "replaced") if is_changed else "is up to date"
        click.echo(f"{output} {state}: {len(networks)} networks")


def _fetch(region: str | None) -> tuple[list[Network], str]:
    """Return the networks that the platform lists, and a heading for them."""
    environment = Environment()
    region = environment.string("OM_GENESYS_REGION") if region is None else region
    region = "" if region == EVERY_REGION else find_region(region)
    with open_platform(environment) as client:
        networks = select(client.get(PATH), region)
    where, today = region or "all regions", f"{datetime.now(UTC):%Y-%m-%d}"
    return networks, f"Genesys Cloud, {SERVICE}, {where}: {len(networks)} networks, {today}"


def _read(output: Path) -> str:
    return output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""


def _drop_heading(text: str) -> str:
    """Return the list without its first line: a new date alone is no change."""
    return text.partition("\n")[2]
