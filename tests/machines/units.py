"""Query systemd about the units on a machine."""

import re
import time
from collections.abc import Iterator
from typing import Final

from tests.machines.image import MachineError
from tests.machines.machine import Machine

# The time limits are generous, because other programs might be using the machine's processors.
START_SECONDS: Final = 300.0
SCALING_SECONDS: Final = 300.0
MAX_EXPOSURE: Final = 1.5


def services(machine: Machine) -> list[str]:
    """Return the services of this project that are running on a machine."""
    listed = machine.run("systemctl list-units --plain --no-legend --state=active 'om-*.service'")
    return [line.split()[0] for line in listed.splitlines()]


def check_exposures(machine: Machine) -> Iterator[str]:
    """Yield the exposure of each unit as systemd-analyze rates it.

    Raises:
        MachineError: A unit exceeds the limit.
    """
    listed = machine.run("systemctl list-unit-files --no-legend 'om-*.service' 'open-messaging-*.service'")
    for line in listed.splitlines():
        unit = line.split()[0].replace("@.", "@1.")
        said = machine.run(f"systemd-analyze security --no-pager {unit} | tail -2")
        found = re.search(r"exposure level for \S+: ([\d.]+)", said)
        if found is None or float(found[1]) > MAX_EXPOSURE:
            raise MachineError(f"{unit} is exposed by more than {MAX_EXPOSURE}: {said}")
        yield f"{unit} {found[1]}"


def main_pid(machine: Machine, unit: str) -> int:
    """Return the id of a unit's main process, or 0 if the unit is not running."""
    return int(machine.run(f"systemctl show --property=MainPID --value {unit}"))


def wait_for(machine: Machine, unit: str, *, other_than: int = 0) -> None:
    """Block until a unit is active with a process id other than *other_than*.

    Raises:
        MachineError: The unit did not start in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        shown = machine.run(f"systemctl show --property=ActiveState,MainPID {unit}")
        state = dict(line.split("=") for line in shown.split())
        if state["ActiveState"] == "active" and int(state["MainPID"]) not in {0, other_than}:
            return
        time.sleep(0.5)
    raise MachineError(f"{unit} did not come up again: {machine.run(f'journalctl -n 20 -u {unit}')}")


def wait_for_workers(machine: Machine, number: int) -> None:
    """Block until exactly *number* intake workers are running.

    Raises:
        MachineError: The number of workers is still different after SCALING_SECONDS.
    """
    deadline = time.monotonic() + SCALING_SECONDS
    while time.monotonic() < deadline:
        listed = machine.run("systemctl list-units --plain --no-legend --state=active 'om-worker@*'")
        if len(listed.splitlines()) == number:
            return
        time.sleep(1.0)
    said = machine.run("journalctl --no-pager -n 20 -u om-scaler")
    raise MachineError(f"not {number} workers after {SCALING_SECONDS:.0f} s: {said}")
