"""Test one bare VM: install the service; strike, scale, reboot and upgrade it under traffic; remove it.

Before the removal, renew the gateway's certificate with certbot.
"""

import time
from contextlib import nullcontext
from typing import Final

from tests.machines import canary, removal, renewal, slow_senders, units
from tests.machines.image import MachineError
from tests.machines.machine import Machine, Network
from tests.machines.progress import conclude, report
from tests.machines.traffic import LAST_RETRIES_SECONDS, Traffic, settle

RATE: Final = 20.0
PAUSE_SECONDS: Final = 4.0
"""How many seconds traffic continues between two faults."""

DATABASE: Final = "postgresql@17-main"
KILLED: Final = (
    "om-api", "om-worker@1", "om-settle@1", "om-observe", "om-scaler", "rabbitmq-server", DATABASE, "nginx",
)  # fmt: skip
SETTINGS: Final = """\
# The test accounts for every event that was sent, including typing indicators.
OM_STORE_TYPING=true
"""
FAST_SCALER: Final = (
    "sed -i -e 's/^EVENTS_PER_WORKER: Final = .*/EVENTS_PER_WORKER: Final = 150/'"
    " -e 's/^COOLDOWN_SECONDS: Final = .*/COOLDOWN_SECONDS: Final = 6.0/'"
    " -e 's/^LOOK_SECONDS: Final = .*/LOOK_SECONDS: Final = 1.0/' workers/settings.py workers/bootstrap.py"
)
"""A command that shortens the scaler's times. With its usual times, the scaler would take an hour to start
and stop workers at this rate."""
MAX_WORKERS: Final = 4
BUDGET_SECONDS: Final = 25.0
"""The longest outage, in seconds, that the platform's retries outlast if each try is refused immediately."""


STRANGER: Final = "ulimit -n 65536; exec python3 tests/machines/slow_senders.py"
AWAIT_OPEN: Final = f"until tail -1 /tmp/open | grep -qx {slow_senders.CONNECTIONS}; do sleep 1; done"
AS_SCALER: Final = "runuser -u open-messaging-scaler -- systemctl --no-ask-password"
SCALER_RIGHTS: Final = (
    f"! {AS_SCALER} stop om-api.service && ! {AS_SCALER} start om-retain.service"
    f" && ! {AS_SCALER} restart om-worker@1.service && {AS_SCALER} start om-worker@1.service"
)
"""Checks that om-scaler's account may start a worker, but may not restart it or control any other unit."""
GUIDE_SECONDS: Final = 3.0
"""The guide's limit for an answer. It is kept except while the edge restarts."""

PROBES: Final = 50
ANSWER_SECONDS: Final = 1.0


def run() -> bool:
    """Run all steps, print the result, and return True if no event was lost, repeated or refused."""
    with Network("open-messaging-one", "10.83.47") as network, Machine(network, "om-1", 11) as machine:
        report("make install-vm, on a bare Debian 13")
        machine.run(f"mkdir -p /etc/open-messaging && echo '{SETTINGS}' > /etc/open-messaging/environment")
        machine.run(FAST_SCALER)
        machine.run(f"make install-vm INSTALL='--server-name {machine.address} --firewall'")
        machine.run("omctl check && ! rabbitmqctl -q list_users | grep -q guest")
        machine.run(SCALER_RIGHTS)
        running = units.services(machine)
        report("exposure: " + ", ".join(units.check_exposures(machine)))
        canary.run(machine)
        with Traffic(machine, f"https://{machine.address}", rate=RATE) as traffic:
            _crowd(network, machine, traffic)
            _strike(machine, traffic)
            with traffic.excuse():
                excused = _reboot(machine, traffic)
                _upgrade(machine)
            time.sleep(LAST_RETRIES_SECONDS)
        account = settle([machine], traffic)
        account["refused"] -= excused
        slowest = traffic.slowest_answer(machine)
        renewal.run(machine)
        removal.run(machine)
    numbers = {"units": len(running), **account, "reboot": excused, "slowest_ms": round(slowest * 1000)}
    passed = not account["lost"] and not account["repeated"] and not account["refused"]
    return conclude("systemd", numbers, passed=passed and slowest <= GUIDE_SECONDS)


def _crowd(network: Network, machine: Machine, traffic: Traffic) -> None:
    """Check that webhooks are answered within a second despite 2,000 slow connections from 20 addresses."""
    traffic.wait_for(1)
    with Machine(network, "stranger", 12) as stranger:
        stranger.run(f"({STRANGER} {machine.address} >/tmp/open 2>&1 </dev/null &)")
        stranger.run(AWAIT_OPEN, timeout=180)
        seconds = sorted(traffic.post() for _ in range(PROBES))
        held = machine.run("ss -Htn state established 'sport = :443' | wc -l").strip()
        if seconds[-1] > ANSWER_SECONDS:
            raise MachineError(
                f"of {PROBES} webhooks beside {held} slow connections one took {seconds[-1]:.1f} s"
            )
        report(f"{held} slow connections: {PROBES} webhooks were answered in {seconds[-1]:.2f} s at most")


def _strike(machine: Machine, traffic: Traffic) -> None:
    """Kill each unit, then stop and start the database. Report each step once its result is verified."""
    for unit in KILLED:
        before = units.main_pid(machine, unit)
        with traffic.excuse() if unit == "om-api" else nullcontext():
            machine.run(f"systemctl kill --signal=KILL {unit}")
            units.wait_for(machine, unit, other_than=before)
        report(f"killed {unit}: it runs again")
        time.sleep(PAUSE_SECONDS)
    machine.run(f"systemctl stop {DATABASE}")
    units.wait_for_workers(machine, MAX_WORKERS)
    report(f"took the database away: a backlog, and {MAX_WORKERS} workers")
    machine.run(f"systemctl start {DATABASE}")
    units.wait_for_workers(machine, 1)
    report("brought it back: the backlog is gone, and all workers but one")


def _reboot(machine: Machine, traffic: Traffic) -> int:
    """Reboot under traffic. Return how many events were given up on because the reboot took too long.

    While the only machine is off, no edge answers. The platform's retries outlast 25 s of refused
    connections. If the reboot takes longer, events that are given up on are excused. Otherwise, they count
    against the service.
    """
    booted, before, began = _boot_time(machine), traffic.given_up(), time.monotonic()
    machine.reboot()
    while not traffic.reaches():
        time.sleep(0.5)
    away = time.monotonic() - began
    for unit in ("om-api", "om-worker@1", "nginx"):
        units.wait_for(machine, unit)
    if _boot_time(machine) == booted:
        raise MachineError("the machine was not booted again")
    time.sleep(LAST_RETRIES_SECONDS)
    given_up = traffic.given_up() - before
    report(f"rebooted under traffic: no edge answered for {away:.0f} s, given up meanwhile: {given_up}")
    return given_up if away > BUDGET_SECONDS else 0


def _upgrade(machine: Machine) -> None:
    before = units.main_pid(machine, "om-api")
    # The variable simulates an old script with a retired secret. The installed secret must be kept, so that
    # traffic is still accepted.
    machine.run(f"OM_WEBHOOK_SECRETS=retired make install-vm INSTALL='--server-name {machine.address}'")
    units.wait_for(machine, "om-api", other_than=before)
    report("upgraded in place")


def _boot_time(machine: Machine) -> str:
    """Return when the machine's first process started; the kernel's boot time would be the host's."""
    return machine.run("stat -c %Y /proc/1")
