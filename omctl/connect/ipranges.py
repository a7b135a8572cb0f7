"""omctl ipranges: write the platform's published addresses as an allow-list."""

import ipaddress
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final

import click

from messaging.environment import Environment
from messaging.errors import OpenMessagingError
from omctl.connections import open_platform
from omctl.installing.gateway import format_nginx
from omctl.installing.steps import replace
from omctl.interface import Command, change_options, show_json
from workers.genesys import find_region

Network = IPv4Network | IPv6Network

PATH: Final = "/api/v2/ipranges"
EVERY_REGION: Final = "all"
SERVICE: Final = "open-messaging"
DIRECTIONS: Final = ("outbound", "both")
"""Directions of the ranges to list. The platform sends webhooks from its outbound addresses.

Source: IpAddressRange of the official Python SDK, release 269.
"""

MIN_PREFIX: Final = {4: 8, 6: 16}
"""The shortest prefix accepted for each IP version: a shorter one would admit much of the internet."""


def select(answer: dict[str, Any], region: str) -> list[Network]:
    """Return the networks that *answer* lists for *region* (empty: all regions); merge adjacent networks."""
    ours = [
        entity
        for entity in answer.get("entities") or []
        if entity.get("service") == SERVICE and entity.get("direction") in DIRECTIONS
    ]
    cidrs = [str(entity.get("cidr")) for entity in ours if region in {"", entity.get("region")}]
    if not cidrs:
        listed = ", ".join(sorted({str(entity.get("region")) for entity in ours})) or "none"
        raise OpenMessagingError(
            f"the platform lists no outbound range of {SERVICE} for {region or 'any region'}; regions "
            f"with one: {listed}. Set the organisation's region with --region or OM_GENESYS_REGION"
        )
    networks = {*map(_parse, cidrs)}
    four = (network for network in networks if isinstance(network, IPv4Network))
    six = (network for network in networks if isinstance(network, IPv6Network))
    return [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]


def read_plain(text: str) -> list[Network]:
    """Parse a list in the `plain` format and return its networks."""
    networks = [_parse(line) for line in text.splitlines() if line and not line.startswith("#")]
    if not networks:
        raise OpenMessagingError("the list is empty")
    return networks


def _parse(cidr: str) -> Network:
    try:
        # Refuse an IPv6 address with a zone (after %): a zone can contain any text.
        network = ipaddress.ip_network("" if "%" in cidr else cidr, strict=False)
    except ValueError:
        raise OpenMessagingError("the platform lists a range that is not a network") from None
    if network.prefixlen < MIN_PREFIX[network.version]:
        raise OpenMessagingError(f"the platform lists {network}, which is too wide to be right")
    return network


def format_nftables(networks: Sequence[Network], heading: str) -> str:
    """Return the networks as input for `nft -f`, which replaces both nftables sets at once."""
    # Source: nft(8), "Sets": elements of an interval set can be networks.
    lines = [f"# {heading}", "add table inet open_messaging"]
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        name = f"inet open_messaging platform{version}"
        elements = ", ".join(str(network) for network in networks if network.version == version)
        lines += [f"add set {name} {{ type {kind}; flags interval; }}", f"flush set {name}"]
        if elements:
            lines.append(f"add element {name} {{ {elements} }}")
    return "\n".join([*lines, ""])


def format_plain(networks: Iterable[Network], heading: str) -> str:
    """Return text with *heading* as a comment and one network per line."""
    return "\n".join([f"# {heading}", *map(str, networks), ""])


FORMATS: Final = {"nginx": format_nginx, "nftables": format_nftables, "plain": format_plain}


@click.command(cls=Command)
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
    help="Convert this list, in plain format, instead of querying the platform.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Replace this file atomically."
)
@change_options
def ipranges(
    form: str, region: str | None, source: Path | None, output: Path | None, *, dry_run: bool
) -> None:
    """Fetch the addresses that the platform posts from, and write them as an allow-list.

    If the platform does not answer, or its list cannot be right (no network for the region, or one wider than
    an IPv4 /8 or an IPv6 /16), the file stays unchanged and the exit status is 1. If the list is unchanged,
    only the file's modification time is updated. On installed hosts, om-ipranges.timer runs this daily.

    Examples:
      omctl ipranges --format nginx
      omctl ipranges --format nginx --output /etc/nginx/open-messaging-addresses.conf
      omctl ipranges --format nftables --output /etc/nftables.d/open-messaging.nft
    """
    environment = Environment()
    if source is None:
        region = environment.string("OM_GENESYS_REGION") if region is None else region
        region = "" if region == EVERY_REGION else find_region(region)
        with open_platform(environment) as client:
            networks = select(client.get(PATH), region)
        origin, suffix = f", {region or 'all regions'}", f", {datetime.now(UTC):%Y-%m-%d}"
    else:
        networks = read_plain(source.read_text(encoding="utf-8", errors="replace"))
        origin, suffix = "", f" from {source}"
    text = FORMATS[form](networks, f"Genesys Cloud, {SERVICE}{origin}: {len(networks)} networks{suffix}")
    # Accept any encoding: a comment in the existing file might not be UTF-8.
    old = output.read_text("utf-8", errors="replace") if output is not None and output.exists() else ""
    # Compare all lines except the first, which contains the date.
    is_changed = output is not None and text.partition("\n")[2] != old.partition("\n")[2]
    if output is not None and not dry_run:
        if is_changed:
            replace(output, text, mode=0o644)
        os.utime(output)
    if show_json({"networks": networks, "changed": is_changed, "done": is_changed and not dry_run}):
        return
    if output is None:
        click.echo(text, nl=False)
    else:
        state = ("would be replaced" if dry_run else "replaced") if is_changed else "is up to date"
        click.echo(f"{output} {state}: {len(networks)} networks")
