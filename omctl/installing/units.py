"""Write the units of systemd, start them, and start those again whose program has changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from omctl.installing.files import file_step, shipped
from omctl.installing.options import ACCOUNT, SCALER_ACCOUNT, UNITS
from omctl.installing.step import Step, package_step, run, succeeds

if TYPE_CHECKING:
    from omctl.installing.options import Options

HARDENING: Final = UNITS / "om-.service.d" / "hardening.conf"

EDGE_UNITS: Final = ("om-api.socket", "om-api.service", "om-ipranges.service", "om-ipranges.timer")
WORKER_UNITS: Final = (
    "om-worker@.service",
    "om-settle@.service",
    "om-deliver@.service",
    "om-reconcile.service",
    "om-observe.service",
    "om-scaler.service",
    "om-workers.target",
    "om-retain.service",
    "om-retain.timer",
)
WORKER_SERVICES: Final = (
    "om-settle@1.service",
    "om-deliver@1.service",
    "om-reconcile.service",
    "om-observe.service",
)
SCALER: Final = "om-scaler.service"
NUMBERED: Final = ("om-worker@*", "om-settle@*", "om-deliver@*")
"""Patterns of the units that om-scaler starts and stops by number."""
POLKIT_RULE: Final = Path("/etc/polkit-1/rules.d/50-open-messaging.rules")


def account_step() -> Step:
    """Return the step that makes the accounts of the units."""
    return Step(
        f"make the accounts {ACCOUNT} and {SCALER_ACCOUNT}",
        lambda: succeeds(["getent", "passwd", ACCOUNT, SCALER_ACCOUNT]),
        lambda: run(["systemd-sysusers", "-"], text=shipped("systemd/open-messaging.sysusers")),
    )


def unit_steps(options: Options) -> list[Step]:
    """Return the steps that make systemd know the units."""
    names = [*(EDGE_UNITS if options.is_edge else ()), *(WORKER_UNITS if options.is_worker else ())]
    polkit = [package_step("polkitd"), file_step(POLKIT_RULE, lambda: shipped("polkit/open-messaging.rules"))]
    return [
        package_step("ca-certificates"),
        *(polkit if options.is_worker else []),
        file_step(HARDENING, lambda: shipped("systemd/om-hardening.conf")),
        *(file_step(UNITS / name, lambda name=name: rendered(name, options)) for name in names),  # type: ignore[misc]
        Step("have systemd read its units", lambda: False, lambda: run(["systemctl", "daemon-reload"])),
    ]


def rendered(name: str, options: Options) -> str:
    """Return the text of a unit."""
    text = shipped(f"systemd/{name}")
    return text.replace("@PREFIX@", str(options.prefix)).replace("@BIND@", options.bind)


def start_steps(options: Options) -> list[Step]:
    """Return the steps that start the services, and start those again that run: they may be of yesterday."""
    steps = []
    if options.is_worker:
        workers = [f"om-worker@{number}.service" for number in range(1, (options.workers or 1) + 1)]
        names = ["om-workers.target", *workers, *WORKER_SERVICES, "om-retain.timer"]
        steps += [_start(name) for name in names]
        steps += (
            [_disable(SCALER), _stop_others(names)]
            if options.workers
            else [_restart_others(names), _start(SCALER)]
        )
    if options.is_edge:
        # The socket goes on listening while the service starts again.
        steps += [_socket_step("om-api.socket"), _start("om-api.service"), _start("om-ipranges.timer")]
    return steps


def _socket_step(name: str) -> Step:
    """A socket that listens goes on with the port it has: where its unit says another, it must begin anew.

    Its service requires it, and so starts again with it. Meanwhile senders are refused, for seconds.
    """

    def start() -> None:
        run(["systemctl", "enable", "--quiet", name])
        run(["systemctl", "restart" if _is_older_than_its_unit(name) else "start", name])

    return Step(f"start {name}, anew where it has changed", lambda: False, start)


def _is_older_than_its_unit(name: str) -> bool:
    """Tell whether a unit became active before its file was written, in an earlier second."""
    show = ["systemctl", "show", "--value", "--property=ActiveEnterTimestamp", "--timestamp=unix", name]
    since = run(show).strip().removeprefix("@")
    return since.isdigit() and int(since) < int((UNITS / name).stat().st_mtime)


def _start(name: str) -> Step:
    verb = "restart" if name.endswith(".service") else "start"

    def start() -> None:
        run(["systemctl", "enable", "--quiet", name])
        run(["systemctl", verb, name])

    return Step(f"{verb} {name}", lambda: False, start)


def _restart_others(known: list[str]) -> Step:
    """Restart the workers that om-scaler has started: they run the previous program."""
    return Step("restart further workers", lambda: False, lambda: _others(known, "try-restart"))


def _stop_others(known: list[str]) -> Step:
    """Stop the workers above the number that was chosen, also after the next boot."""
    return Step("stop further workers", lambda: False, lambda: _others(known, "disable", "--now", "--quiet"))


def _others(known: list[str], *verb: str) -> None:
    listed = run(["systemctl", "list-units", "--plain", "--no-legend", "--state=active", *NUMBERED])
    for name in sorted({line.split()[0] for line in listed.splitlines()} - set(known)):
        run(["systemctl", *verb, name])


def _disable(name: str) -> Step:
    return Step(
        f"disable {name}", lambda: False, lambda: run(["systemctl", "disable", "--now", "--quiet", name])
    )
