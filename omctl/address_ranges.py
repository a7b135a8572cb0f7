"""Turn the platform's published address ranges into allow-lists."""

import ipaddress
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from messaging.errors import OpenMessagingError

Network = IPv4Network | IPv6Network

SERVICE: Final = "open-messaging"
DIRECTIONS: Final = ("outbound", "both")
"""From the platform's side: it posts to us from its outbound addresses.

Source: IpAddressRange of the official Python SDK, release 269.
"""

MIN_PREFIX: Final = {4: 8, 6: 16}
"""A shorter prefix would let in a good part of the internet: a mistake, not a range."""


class UnusableRangesError(OpenMessagingError):
    """Nothing was written, and the existing list stays; look at the platform's answer."""


def select(answer: dict[str, Any], region: str) -> list[Network]:
    """Return the networks of the platform's answer that concern us, with adjacent ones joined.

    Args:
        answer: The answer of `GET /api/v2/ipranges`.
        region: Such as eu-central-1; empty for every region.

    Raises:
        UnusableRangesError: There are none, or one cannot be right.
    """
    ours = [
        entity
        for entity in answer.get("entities") or []
        if entity.get("service") == SERVICE and entity.get("direction") in DIRECTIONS
    ]
    networks = {
        _parse(str(entity.get("cidr"))) for entity in ours if not region or entity.get("region") == region
    }
    if not networks:
        listed = ", ".join(sorted({str(entity.get("region")) for entity in ours})) or "none"
        raise UnusableRangesError(
            f"the platform lists no outbound range of {SERVICE} for {region or 'any region'}; regions "
            f"with one: {listed}. Give the organisation's region by --region, or in OM_GENESYS_REGION"
        )
    four = [network for network in networks if isinstance(network, IPv4Network)]
    six = [network for network in networks if isinstance(network, IPv6Network)]
    return [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]


def read_plain(text: str) -> list[Network]:
    """Return the networks of a list in the format plain.

    Raises:
        UnusableRangesError: There are none, or one cannot be right.
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    if not lines:
        raise UnusableRangesError("the list is empty")
    return [_parse(line) for line in lines]


def _parse(cidr: str) -> Network:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        raise UnusableRangesError("the platform lists a range that is not a network") from None
    if network.prefixlen < MIN_PREFIX[network.version]:
        raise UnusableRangesError(f"the platform lists {network}, which is too wide to be right")
    return network


def format_nginx(networks: Iterable[Network], heading: str) -> str:
    """Return a variable for nginx's http block that is 1 for the platform's addresses and the host's own.

    The last step of an installation posts from the host itself.

    Source: ngx_http_geo_module.
    """
    lines = [f"    {network} 1;" for network in ("127.0.0.1", *networks)]
    # Without a list, no address is known to be foreign, and none is refused.
    default = 0 if len(lines) > 1 else "unknown"
    return "\n".join([f"# {heading}", "geo $om_from_platform {", f"    default {default};", *lines, "}", ""])


def format_nftables(networks: Sequence[Network], heading: str) -> str:
    """Return two sets for `nft -f`, which replaces both at once.

    Source: nft(8), "Sets": elements of an interval set may be networks.
    """
    lines = [f"# {heading}", "add table inet open_messaging"]
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        name = f"inet open_messaging platform{version}"
        elements = ", ".join(str(network) for network in networks if network.version == version)
        lines += [f"add set {name} {{ type {kind}; flags interval; }}", f"flush set {name}"]
        if elements:
            lines.append(f"add element {name} {{ {elements} }}")
    return "\n".join([*lines, ""])


def format_plain(networks: Iterable[Network], heading: str) -> str:
    """Return one network a line."""
    return "\n".join([f"# {heading}", *map(str, networks), ""])


FORMATS: Final = {"nginx": format_nginx, "nftables": format_nftables, "plain": format_plain}
