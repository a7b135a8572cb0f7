"""One VM from nothing: installed, struck unit by unit, scaled, rebooted and upgraded under traffic."""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.machines.machine import Machine, MachineError
from tests.machines.traffic import CREDENTIALS, Broker, Traffic, wait_at_rest

CHECKOUT: Final = Path(__file__).parents[2]
RATE: Final = 50.0
SETTLING_SECONDS: Final = 10.0
"""Between two strikes: systemd has started what was killed, and traffic flows again."""

DATABASE: Final = "postgresql@17-main"
KILLED: Final = ("om-api", "om-worker@1", "om-settle", "om-scaler", "rabbitmq-server", DATABASE, "nginx")
SETTINGS: Final = """\
# The account of what was sent is of every event, typing too.
OM_STORE_TYPING=true
OM_SCALE_EVENTS_PER_WORKER=150
OM_SCALE_COOLDOWN_SECONDS=8
OM_SCALE_SECONDS=1
"""
MOST_WORKERS: Final = 4
SCALING_SECONDS: Final = 180.0
START_SECONDS: Final = 180.0
TOLERABLE_EXPOSURE: Final = 2.0


def run() -> bool:
    """Run the journey and print its last line; return whether nothing was lost and nobody refused."""
    with Machine("om-systemd") as machine, tempfile.TemporaryDirectory() as scratch:
        machine.put_project(CHECKOUT)
        _tell("make install-vm, on a bare Debian 13")
        machine.run(f"mkdir -p /etc/open-messaging && echo '{SETTINGS}' > /etc/open-messaging/environment")
        machine.run("make install-vm", timeout=900.0)
        units = _units(machine)
        for unit, exposure in _exposures(machine, units):
            _tell(f"{unit}: exposure {exposure}")
            if exposure > TOLERABLE_EXPOSURE:
                raise MachineError(f"{unit} is exposed by {exposure}, more than {TOLERABLE_EXPOSURE}")
        with Traffic(machine, Path(scratch), rate=RATE) as traffic:
            time.sleep(SETTLING_SECONDS)
            for told in _strikes(machine):
                _tell(told)
                time.sleep(SETTLING_SECONDS)
            # What is still being retried gets its answer.
            time.sleep(30.0)
        wait_at_rest(Broker(machine.run(f"cat {CREDENTIALS}/owner/OM_MANAGEMENT_URL").strip()))
        accounts = traffic.accounts()
        refused = sum(not row.answered for row in accounts.ledger)
        verdict = accounts.verdict
        found = f"lost={verdict.lost} repeated={verdict.repeated} refused={refused}"
        print(f"systemd: units={len(units)} answered={verdict.answered} {found}")
        return verdict.is_clean and not refused


def _strikes(machine: Machine) -> Iterator[str]:
    """Do one thing after another to the machine, each told when it is done and proven."""
    for unit in KILLED:
        before = _main_pid(machine, unit)
        machine.run(f"systemctl kill --signal=KILL {unit}")
        _wait_for(machine, unit, other_than=before)
        yield f"killed {unit}: it runs again"
    machine.run(f"systemctl stop {DATABASE}")
    _wait_for_workers(machine, MOST_WORKERS)
    yield f"took the database away: a backlog, and {MOST_WORKERS} workers"
    machine.run(f"systemctl start {DATABASE}")
    _wait_for_workers(machine, 1)
    yield "brought it back: the backlog is gone, and all workers but one"
    booted = _boot_time(machine)
    machine.reboot()
    for unit in ("om-api", "om-worker@1", "nginx"):
        _wait_for(machine, unit, other_than=0)
    if _boot_time(machine) == booted:
        raise MachineError("the machine was not booted again")
    yield "rebooted in the middle of traffic"
    before = _main_pid(machine, "om-api")
    machine.run("make install-vm", timeout=900.0)
    _wait_for(machine, "om-api", other_than=before)
    yield "upgraded in place"


def _units(machine: Machine) -> list[str]:
    """Return the services of ours that run."""
    listed = machine.run("systemctl list-units --plain --no-legend --state=active 'om-*.service'")
    return [line.split()[0] for line in listed.splitlines()]


def _exposures(machine: Machine, units: list[str]) -> Iterator[tuple[str, float]]:
    for unit in units:
        said = machine.run(f"systemd-analyze security --no-pager {unit} | tail -2")
        found = re.search(r"exposure level for \S+: ([\d.]+)", said)
        if found is None:
            raise MachineError(f"systemd-analyze says nothing of {unit}: {said}")
        yield unit, float(found[1])


def _main_pid(machine: Machine, unit: str) -> int:
    return int(machine.run(f"systemctl show --property=MainPID --value {unit}"))


def _boot_time(machine: Machine) -> str:
    """Return when the first process began: a container's kernel is the host's, and does not begin again."""
    return machine.run("stat -c %Y /proc/1")


def _wait_for_workers(machine: Machine, number: int) -> None:
    """Block until so many intake workers run.

    Raises:
        MachineError: It has not come to that in time.
    """
    deadline = time.monotonic() + SCALING_SECONDS
    while time.monotonic() < deadline:
        listed = machine.run("systemctl list-units --plain --no-legend --state=active 'om-worker@*'")
        if len(listed.splitlines()) == number:
            return
        time.sleep(1.0)
    said = machine.run("journalctl --no-pager -n 20 -u om-scaler")
    raise MachineError(f"not {number} workers after {SCALING_SECONDS:.0f} s: {said}")


def _wait_for(machine: Machine, unit: str, *, other_than: int) -> None:
    """Block until a unit is active under another process id than before.

    Raises:
        MachineError: It has not come up in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = machine.run(f"systemctl is-active {unit} || true").strip()
        if state == "active" and _main_pid(machine, unit) not in {0, other_than}:
            return
        time.sleep(0.5)
    raise MachineError(f"{unit} did not come up again: {machine.run(f'journalctl -n 20 -u {unit}')}")


def _tell(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)
