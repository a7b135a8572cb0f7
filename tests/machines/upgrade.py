"""Upgrade a VM from the previous version and back again under traffic, workers or edge first."""

import subprocess
import time
from typing import Final

from tests.machines import units
from tests.machines.image import MachineError
from tests.machines.machine import CHECKOUT, Machine, Network
from tests.machines.one_machine import RATE, SETTINGS
from tests.machines.progress import conclude, report
from tests.machines.traffic import LAST_RETRIES_SECONDS, Traffic, settle

EVENTS: Final = 200
"""Events that pass between two changes: ten seconds of traffic, more on a busy machine."""

EDGE: Final = "/etc/systemd/system/om-api.service"
PREFIX: Final = f"sed -n 's,^ExecStart=\\(.*\\)/bin/gunicorn.*,\\1,p' {EDGE}"


def run() -> bool:
    """Run all steps and print the last line; return whether nothing was lost, repeated or refused."""
    with Network("open-messaging-upgrade", "10.83.49") as network, Machine(network, "om-1", 11) as machine:
        previous = _previous_revision()
        machine.put_project(previous)
        # An environment and a wheel of its own, as a release has.
        machine.run("sed -i 's/^version = .*/version = 0.9.0/' setup.cfg")
        machine.run(f"mkdir -p /etc/open-messaging && echo '{SETTINGS}' > /etc/open-messaging/environment")
        machine.run(f"make install-vm INSTALL='--server-name {machine.address}'")
        old = machine.run(PREFIX).strip()
        report(f"installed the previous version, {previous[:10]}")
        machine.put_project()
        with Traffic(machine, f"https://{machine.address}", rate=RATE) as traffic:
            traffic.wait_for(EVENTS)
            machine.run("make install-vm")
            new = machine.run(PREFIX).strip()
            _check(machine, traffic, edge=new, worker=new)
            report("upgraded: workers first, then the edge")
            machine.run(f"{old}/bin/omctl install")
            _check(machine, traffic, edge=old, worker=old)
            report("taken back: workers first, then the edge")
            _change_edge_first(machine, traffic, old, new)
            report("upgraded: the edge first, then workers")
            _change_edge_first(machine, traffic, new, old)
            report("taken back: the edge first, then workers")
            time.sleep(LAST_RETRIES_SECONDS)
        account = settle([machine], traffic)
        for refusal in traffic.refusals():
            report(f"refused: {refusal}")
    passed = not account["lost"] and not account["repeated"] and not account["refused"]
    return conclude("upgrade", {"versions": 2, "orders": 2, **account}, passed=passed)


def _previous_revision() -> str:
    """Return the oldest commit with these tables: until 1.0.0 is released, they are changed in place."""
    log = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%H", "--", "workers/db/migrations"]
    return subprocess.run(log, capture_output=True, text=True, check=True).stdout.strip()


def _change_edge_first(machine: Machine, traffic: Traffic, before: str, after: str) -> None:
    """Run another version's edge beside the workers of *before*, then install the other version."""
    machine.run(
        f"sed -i 's,{before}/,{after}/,' {EDGE} && systemctl daemon-reload && systemctl restart om-api"
    )
    _check(machine, traffic, edge=after, worker=before)
    machine.run(f"{after}/bin/omctl install")
    _check(machine, traffic, edge=after, worker=after)


def _check(machine: Machine, traffic: Traffic, *, edge: str, worker: str) -> None:
    """Block until traffic has passed through these versions.

    Raises:
        MachineError: Another version runs, or events are not answered.
    """
    traffic.wait_for(EVENTS)
    for unit, prefix in (("om-api", edge), ("om-worker@1", worker)):
        units.wait_for(machine, unit)
        command = machine.run(f"tr '\\0' ' ' </proc/{units.main_pid(machine, unit)}/cmdline")
        if not command.startswith(f"{prefix}/bin/"):
            raise MachineError(f"{unit} does not run {prefix} but {command}")
