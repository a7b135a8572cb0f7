"""Upgrade VMs from the previous version and back under traffic: first one VM, then three in turn."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from tests.machines import three_machines, units
from tests.machines.balancer import LoadBalancer
from tests.machines.image import MachineError
from tests.machines.machine import CHECKOUT, Machine, Network
from tests.machines.one_machine import RATE, SETTINGS
from tests.machines.progress import STARTED, conclude, report
from tests.machines.traffic import LAST_RETRIES_SECONDS, Traffic, settle

EVENTS: Final = 200
"""The number of events that must be answered between two changes; this usually takes under ten seconds."""

EDGE: Final = "/etc/systemd/system/om-api.service"
PREFIX: Final = f"sed -n 's,^ExecStart=\\(.*\\)/bin/gunicorn.*,\\1,p' {EDGE}"
PROGRAM: Final = "tail -n 1 /usr/local/sbin/omctl | cut -d' ' -f2"


def run() -> bool:
    """Run all steps, print the result, and return True if no event was lost, repeated or refused."""
    previous = _previous_revision()
    with Network("open-messaging-upgrade", "10.83.49") as network:
        accounts = [_upgrade_one(network, previous), _upgrade_three(network, previous)]
    account = {name: sum(account[name] for account in accounts) for name in accounts[0]}
    passed = not account["lost"] and not account["repeated"] and not account["refused"]
    numbers = {"versions": 2, "orders": 2, **account, "machines": len(three_machines.NAMES)}
    return conclude("upgrade", numbers, passed=passed)


def _upgrade_one(network: Network, previous: str) -> dict[str, int]:
    """Upgrade one machine and downgrade it, once with the workers first and once with the edge first."""
    with Machine(network, "om-1", 11) as machine:
        _put_previous(machine, previous)
        machine.run(f"mkdir -p /etc/open-messaging && echo '{SETTINGS}' > /etc/open-messaging/environment")
        machine.run(f"make install-vm INSTALL='--server-name {machine.address}'")
        old = machine.run(PREFIX).strip()
        report(f"installed the previous version, {previous[:10]}")
        machine.put_project()
        with Traffic(machine, f"https://{machine.address}", rate=RATE) as traffic:
            traffic.wait_for(EVENTS)
            # Add guest as an administrator, which an operator or an earlier version might have left behind.
            machine.run("rabbitmqctl -q add_user guest guest")
            machine.run("rabbitmqctl -q set_user_tags guest administrator")
            machine.run("make install-vm")
            machine.run("! rabbitmqctl -q list_users | grep -q ^guest")
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
        return _settle([machine], traffic)


def _upgrade_three(network: Network, previous: str) -> dict[str, int]:
    """Upgrade three machines in turn, as docs/upgrade.md describes, and downgrade them in the same way."""
    with ExitStack() as stack:
        machines = three_machines.boot(network, stack)
        first, *others = machines
        _put_previous(first, previous)
        three_machines.install(machines)
        first.put_project()
        old = first.run(PREFIX).strip()
        balancer = stack.enter_context(LoadBalancer(machines))
        with Traffic(first, balancer.url, rate=RATE) as traffic:
            versions = dict.fromkeys(machines, old)
            _check_sharing(versions, traffic)
            first.run("make install-vm")
            new = first.run(PREFIX).strip()
            _finish(first, new, versions, traffic)
            for machine in others:
                three_machines.copy(first, machine, "opt/open-messaging")
                machine.run(f"{first.run(PROGRAM).strip()} install")
                _finish(machine, new, versions, traffic)
            for machine in machines:
                machine.run(f"{old}/bin/omctl install")
                _finish(machine, old, versions, traffic)
            time.sleep(LAST_RETRIES_SECONDS)
        return _settle(machines, traffic)


def _finish(machine: Machine, prefix: str, versions: dict[Machine, str], traffic: Traffic) -> None:
    """Check a machine that now runs the version in *prefix*, and check that all machines share the events."""
    machine.run("omctl check")
    versions[machine] = prefix
    _check_sharing(versions, traffic)


def _check_sharing(versions: Mapping[Machine, str], traffic: Traffic) -> None:
    """Block until more events are answered, and check that each machine's version processed some of them.

    Raises:
        MachineError: A machine runs the wrong version or processed no event, or too few events were answered.
    """
    began = int(time.time())
    traffic.wait_for(EVENTS)
    processed = {machine: _count_processed(machine, began) for machine in versions}
    numbers = ", ".join(f"{machine.name}: {dict(counts)}" for machine, counts in processed.items())
    for machine, prefix in versions.items():
        _check_versions(machine, edge=prefix, worker=prefix)
        if set(processed[machine]) != {prefix}:
            raise MachineError(f"not every machine processed events, each with its version alone: {numbers}")
    report(f"events processed by each version on {numbers}")


def _count_processed(machine: Machine, since: int) -> Counter[str]:
    """Return how many events the workers of each version have committed since the Unix time *since*."""
    fields = "--output=json --output-fields=MESSAGE,_CMDLINE"
    counts = Counter[str]()
    for line in machine.run(f"journalctl --since=@{since} {fields} -u 'om-worker@*'").splitlines():
        entry = json.loads(line)
        # journalctl prints an array or null in place of a message that is binary or too long.
        if '"batch_processed"' in str(entry["MESSAGE"]):
            counts[entry["_CMDLINE"].partition("/bin/")[0]] += json.loads(entry["MESSAGE"])["processed"]
    return +counts


def _put_previous(machine: Machine, revision: str) -> None:
    """Copy the previous version. Like a release, it gets a virtual environment and a wheel of its own."""
    machine.put_project(revision)
    machine.run("sed -i 's/^version = .*/version = 0.9.0/' setup.cfg")


def _settle(machines: list[Machine], traffic: Traffic) -> dict[str, int]:
    """Compare the sender's ledger with the tables, and report every event that was refused."""
    account = settle(machines, traffic)
    for refusal in traffic.refusals():
        report(f"refused: {refusal}")
    return account


def _previous_revision() -> str:
    """Return the oldest commit with the current tables. Until 1.0.0, migrations are changed in place."""
    log = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%H", "--", "workers/db/migrations"]
    revision = subprocess.run(log, capture_output=True, text=True, check=True).stdout.strip()
    if revision == STARTED["commit"]:
        raise MachineError("this commit changes the tables, so no earlier version has them")
    return revision


def _change_edge_first(machine: Machine, traffic: Traffic, before: str, after: str) -> None:
    """Run the edge of version *after* with workers of version *before*, then install all of *after*."""
    machine.run(
        f"sed -i 's,{before}/,{after}/,' {EDGE} && systemctl daemon-reload && systemctl restart om-api"
    )
    _check(machine, traffic, edge=after, worker=before)
    machine.run(f"{after}/bin/omctl install")
    _check(machine, traffic, edge=after, worker=after)


def _check(machine: Machine, traffic: Traffic, *, edge: str, worker: str) -> None:
    """Block until more events are answered, and check that the given versions are running.

    Raises:
        MachineError: The wrong version is running, or events are not answered.
    """
    traffic.wait_for(EVENTS)
    _check_versions(machine, edge=edge, worker=worker)


def _check_versions(machine: Machine, *, edge: str, worker: str) -> None:
    for unit, prefix in (("om-api", edge), ("om-worker@1", worker)):
        units.wait_for(machine, unit)
        command = machine.run(f"tr '\\0' ' ' </proc/{units.main_pid(machine, unit)}/cmdline")
        if not command.startswith(f"{prefix}/bin/"):
            raise MachineError(f"{unit} does not run {prefix} but {command}")
