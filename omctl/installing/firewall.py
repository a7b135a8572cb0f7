"""Limit connections to the gateway in the kernel, by a table of nftables and a unit that loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from omctl.installing.files import file_step, shipped
from omctl.installing.options import CONFIGURATION, UNITS
from omctl.installing.step import Step, package_step, run, succeeds

if TYPE_CHECKING:
    from omctl.installing.options import Options

UNIT: Final = "open-messaging-firewall.service"
"""Not named om-*: those run without the right that it needs."""
RULES: Final = CONFIGURATION / "firewall.nft"
FIREWALL_FILES: Final = (UNITS / UNIT, RULES)


def firewall_steps(options: Options) -> list[Step]:
    """Return the steps to a loaded table, or to none if an earlier installation had one."""
    if not options.firewall:
        return removal_steps() if any(path.exists() for path in FIREWALL_FILES) else []
    return [
        package_step("nftables"),
        file_step(RULES, rules),
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


def rules() -> str:
    """Return the rules, as `omctl install --firewall --dry-run` prints them."""
    return shipped("nftables/open-messaging.nft")


def _load() -> None:
    """Check the rules, load them now and at each boot."""
    run(["nft", "--check", "--file", str(RULES)])
    run(["systemctl", "daemon-reload"])
    is_active = succeeds(["systemctl", "is-active", "--quiet", UNIT])
    run(["systemctl", "reload" if is_active else "start", UNIT])
    run(["systemctl", "enable", "--quiet", UNIT])
