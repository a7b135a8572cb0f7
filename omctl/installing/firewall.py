"""Limit connections to the gateway in the kernel, by a table of nftables and a unit that loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from omctl.installing.broker import LISTENERS
from omctl.installing.files import file_step, shipped
from omctl.installing.options import CONFIGURATION, UNITS, addresses
from omctl.installing.step import Step, package_step, run, succeeds

if TYPE_CHECKING:
    from omctl.installing.options import Options

UNIT: Final = "open-messaging-firewall.service"
"""Not named om-*: those run without the right that it needs."""
RULES: Final = CONFIGURATION / "firewall.nft"
BROKER_PORTS: Final = "4369, 25672"
"""Of epmd and between RabbitMQ's nodes, on all addresses and guarded by the Erlang cookie alone."""

CLUSTER_PORTS: Final = f"{BROKER_PORTS}, 5671, 15671, 5432"
FIREWALL_FILES: Final = (UNITS / UNIT, RULES)


def firewall_steps(options: Options) -> list[Step]:
    """Return the steps to a loaded table, or to none if an earlier installation had one."""
    if not options.firewall:
        return removal_steps() if any(path.exists() for path in FIREWALL_FILES) else []
    return [
        package_step("nftables"),
        file_step(RULES, lambda: rules(options)),
        file_step(UNITS / UNIT, lambda: shipped(f"systemd/{UNIT}")),
        Step("load the firewall's rules", lambda: False, _load),
    ]


def removal_steps() -> list[Step]:
    """Return the steps that take the table and its unit away."""
    files = [
        Step(f"delete {path}", lambda path=path: not path.exists(), path.unlink)  # type: ignore[misc]
        for path in FIREWALL_FILES
    ]
    stop = ["systemctl", "disable", "--now", "--quiet", UNIT]
    return [Step("stop the firewall", lambda: not (UNITS / UNIT).exists(), lambda: run(stop)), *files]


def rules(options: Options) -> str:
    """Return the rules, as `omctl install --firewall --dry-run` prints them."""
    text = shipped("nftables/open-messaging.nft")
    # A broker that was not installed by us may be one of several.
    ports = CLUSTER_PORTS if options.cluster else BROKER_PORTS if LISTENERS.exists() else ""
    rule = f"tcp dport {{ {ports} }} iif != lo jump hosts" if ports else ""
    for version in (4, 6):
        elements = ", ".join(str(host) for host in addresses(options) if host.version == version)
        text = text.replace(f"@CLUSTER{version}@", f"elements = {{ {elements} }};" if elements else "")
    return text.replace("@CLOSED@", rule)


def _load() -> None:
    """Check the rules, load them now and at each boot."""
    run(["nft", "--check", "--file", str(RULES)])
    run(["systemctl", "daemon-reload"])
    is_active = succeeds(["systemctl", "is-active", "--quiet", UNIT])
    run(["systemctl", "reload" if is_active else "start", UNIT])
    run(["systemctl", "enable", "--quiet", UNIT])
