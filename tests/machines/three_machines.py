"""Three VMs with one broker cluster, and an edge and workers on each: one is lost, and returns."""

import time
from contextlib import ExitStack
from typing import Final

from messaging import topology
from tests.machines import units
from tests.machines.balancer import LoadBalancer
from tests.machines.image import MachineError
from tests.machines.machine import Machine, Network
from tests.machines.one_machine import SETTINGS
from tests.machines.progress import conclude, report
from tests.machines.traffic import LAST_RETRIES_SECONDS, Traffic, settle

NAMES: Final = ("om-1", "om-2", "om-3")
SERVER_NAME: Final = "hooks.example.com"
OPTIONS: Final = f"--cluster {','.join(NAMES)} --server-name {SERVER_NAME}"
RATE: Final = 20.0
EVENTS: Final = 200
"""Events that pass between two strikes: ten seconds of traffic, more on a busy machine."""

LEAD: Final = (
    "rabbitmqctl -q eval '"
    f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{topology.EVENTS_QUEUE}">>)), '
    'rabbit_quorum_queue:transfer_leadership(Q, list_to_atom("rabbit@NODE")).\''
)
LEADER: Final = f"rabbitmqctl -q list_queues name leader | sed -n 's/^{topology.EVENTS_QUEUE}\\t//p'"
MEMBERS: Final = (
    f"rabbitmqctl -q list_queues name members | sed -n 's/^{topology.EVENTS_QUEUE}\\t//p' | tr -d '[],'"
)


def run() -> bool:
    """Run all steps and print the last line; return whether nothing was lost or refused."""
    with Network("open-messaging-three", "10.83.48") as network, ExitStack() as stack:
        numbered = enumerate(NAMES, start=11)
        machines = [stack.enter_context(Machine(network, name, number)) for number, name in numbered]
        _install(machines)
        first, lost, _ = machines
        balancer = stack.enter_context(LoadBalancer(machines))
        with Traffic(first, balancer.url, rate=RATE) as traffic:
            traffic.wait_for(EVENTS)
            _lead(first, lost)
            lost.power_off()
            report(f"{lost.name} is lost: the queue's leader, an edge and workers")
            traffic.wait_for(EVENTS)
            report("the other two take events in")
            lost.power_on()
            _wait_back(lost)
            traffic.wait_for(EVENTS)
            time.sleep(LAST_RETRIES_SECONDS)
        account = settle(machines, traffic)
        for refusal in traffic.refusals():
            report(f"refused: {refusal}")
    passed = not account["lost"] and not account["repeated"] and not account["refused"]
    return conclude("three", {"machines": len(machines), **account}, passed=passed)


def _install(machines: list[Machine]) -> None:
    """Install by the commands of docs/install.md; only ssh is replaced."""
    first, *others = machines
    first.run(f"mkdir -p /etc/open-messaging && echo '{SETTINGS}' > /etc/open-messaging/environment")
    first.run(f"make install-vm INSTALL='{OPTIONS}'")
    report(f"{first.name}: installed, with the database of all")
    for machine in others:
        copied = first.run("tar -C / -cz etc/open-messaging opt/open-messaging usr/local/sbin/omctl | base64")
        machine.run("base64 -d | tar -C / -xz", text=copied)
        machine.run(f"omctl install {OPTIONS}")
        report(f"{machine.name}: joined")
    if len(members := first.run(MEMBERS).split()) != len(machines):
        raise MachineError(f"the queue has the members {members}")


def _lead(first: Machine, leader: Machine) -> None:
    """Move the queue's leader to the machine whose loss has the largest effect."""
    first.run(LEAD.replace("NODE", leader.name))
    time.sleep(1.0)
    if (said := first.run(LEADER).strip()) != f"rabbit@{leader.name}":
        raise MachineError(f"the queue is led by {said}")


def _wait_back(machine: Machine) -> None:
    """Block until a machine that was off is fully working again."""
    units.wait_for(machine, "om-api")
    units.wait_for(machine, "om-worker@1")
    # Waits until it has started at boot.
    machine.run("systemctl start rabbitmq-server")
    report(f"{machine.name} is back")
