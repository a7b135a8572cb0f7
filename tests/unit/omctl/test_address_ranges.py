"""Published address ranges are selected by region, refused if implausible, and written as an allow-list."""

import pytest

from messaging.errors import OpenMessagingError
from omctl.connect.ipranges import (
    format_nftables,
    format_nginx,
    format_plain,
    ipranges,
    read_plain,
    select,
)
from omctl.installing import gateway


def published(*cidrs, service="open-messaging", region="eu-central-1", direction="outbound"):
    return [{"cidr": cidr, "service": service, "region": region, "direction": direction} for cidr in cidrs]


OTHERS = [
    *published("203.0.113.0/24", service="data-actions"),
    *published("203.0.113.0/24", direction="inbound"),
    *published("198.51.100.0/24", region="us-east-1"),
]


@pytest.mark.parametrize(
    ("entities", "region", "expected"),
    [
        ([*published("192.0.2.0/24"), *OTHERS], "eu-central-1", ["192.0.2.0/24"]),
        ([*published("192.0.2.0/24"), *OTHERS], "", ["192.0.2.0/24", "198.51.100.0/24"]),
        (published("2001:db8::/48", direction="both"), "", ["2001:db8::/48"]),
        (published("192.0.2.128/25", "192.0.2.0/25", "192.0.2.7/32"), "", ["192.0.2.0/24"]),
    ],
)
def test_the_regions_outbound_networks_are_selected_and_adjacent_ones_are_merged(entities, region, expected):
    assert [str(network) for network in select({"entities": entities}, region)] == expected


@pytest.mark.parametrize(
    ("entities", "text"),
    [
        ([], "lists no outbound range"),
        (OTHERS, "OM_GENESYS_REGION"),
        ([*published("192.0.2.0/24", region="eu-west-1"), *OTHERS], "with one: eu-west-1, us-east-1. Set"),
        (published("192.0.2.0/24", "0.0.0.0/0"), "too wide"),
        (published("::/0"), "too wide"),
        (published("not a network"), "not a network"),
        (published(None), "not a network"),
    ],
)
def test_an_implausible_list_of_the_platform_is_refused(entities, text):
    with pytest.raises(OpenMessagingError, match=text):
        select({"entities": entities}, "eu-central-1")


@pytest.mark.parametrize(
    "text",
    ["", "# x\n", "192.0.2.0/24; } server {", "0.0.0.0/0", "include /etc/x;", "2001:db8::%x; }/32"],
)
def test_a_plain_list_with_anything_but_networks_is_refused(text):
    with pytest.raises(OpenMessagingError):
        read_plain(text)


def test_the_networks_are_written_for_nginx_for_nftables_and_as_a_plain_list():
    networks = select({"entities": published("192.0.2.0/24", "198.51.100.0/24")}, "")
    assert read_plain(format_plain(networks, "x")) == networks
    assert format_nginx(networks, "x") == (
        "# x\ngeo $om_from_platform {\n    default 0;\n    127.0.0.1 1;\n"
        "    192.0.2.0/24 1;\n    198.51.100.0/24 1;\n}\n"
    )
    assert format_nftables(networks, "x").splitlines() == [
        "# x",
        "add table inet open_messaging",
        "add set inet open_messaging platform4 { type ipv4_addr; flags interval; }",
        "flush set inet open_messaging platform4",
        "add element inet open_messaging platform4 { 192.0.2.0/24, 198.51.100.0/24 }",
        "add set inet open_messaging platform6 { type ipv6_addr; flags interval; }",
        "flush set inet open_messaging platform6",
    ]


def test_the_example_writes_the_file_that_the_installed_gateway_reads():
    assert f"--format nginx --output {gateway.ADDRESSES}\n" in ipranges.epilog
    assert f"include {gateway.ADDRESSES};" in gateway.shipped("nginx/open-messaging.conf")
