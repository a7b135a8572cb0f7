"""Test three VMs with one broker cluster. Each VM runs an edge and workers; one VM is lost and returns."""

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
"""The number of events that must be answered between two strikes; this usually takes under ten seconds."""

LEAD: Final = (
    "rabbitmqctl -q eval '"
    f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{topology.EVENTS_QUEUE}">>)), '
    'rabbit_quorum_queue:transfer_leadership(Q, list_to_atom("rabbit@NODE")).\''
)
LEADER: Final = f"rabbitmqctl -q list_queues name leader | sed -n 's/^{topology.EVENTS_QUEUE}\\t//p'"
ADDRESS: Final = "sed s,+psycopg,, /etc/open-messaging/credentials/worker/OM_DATABASE_URL"
FOREIGN_AUTHORITY: Final = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=foreign"
    " -keyout /tmp/foreign-key.pem -out /tmp/foreign.pem"
)
MEMBERS: Final = (
    f"rabbitmqctl -q list_queues name members | sed -n 's/^{topology.EVENTS_QUEUE}\\t//p' | tr -d '[],'"
)


def run() -> bool:
    """Run all steps, print the result, and return True if no event was lost, repeated or refused."""
    with Network("open-messaging-three", "10.83.48") as network, ExitStack() as stack:
        machines = boot(network, stack)
        install(machines)
        first, lost, _ = machines
        _check_verification(first)
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


def boot(network: Network, stack: ExitStack) -> list[Machine]:
    """Boot three machines, which are deleted when *stack* is closed."""
    numbered = enumerate(NAMES, start=11)
    return [stack.enter_context(Machine(network, name, number)) for number, name in numbered]


def copy(source: Machine, target: Machine, paths: str) -> None:
    """Copy files and folders, as the pages do with ssh. *paths* are relative to /."""
    copied = source.run(f"tar -C / -cz {paths} | base64")
    target.run("base64 -d | tar -C / -xz", text=copied)


def install(machines: list[Machine]) -> None:
    """Install the service with the commands of docs/install.md, but copy files without ssh."""
    first, *others = machines
    first.run(f"mkdir -p /etc/open-messaging && echo '{SETTINGS}' > /etc/open-messaging/environment")
    first.run(f"make install-vm INSTALL='{OPTIONS}'")
    report(f"{first.name}: installed, with the database of all")
    for machine in others:
        copy(first, machine, "etc/open-messaging opt/open-messaging usr/local/sbin/omctl")
        machine.run(f"omctl install {OPTIONS}")
        report(f"{machine.name}: joined")
    if len(members := first.run(MEMBERS).split()) != len(machines):
        raise MachineError(f"the queue has the members {members}")


def _check_verification(first: Machine) -> None:
    """Check that clients of the database refuse a server with a certificate from a different authority."""
    first.run(f"{FOREIGN_AUTHORITY} && psql \"$({ADDRESS})\" -c 'SELECT 1'")
    first.run(
        f"! psql \"$({ADDRESS} | sed 's,sslrootcert=[^&]*,sslrootcert=/tmp/foreign.pem,')\" -c 'SELECT 1'"
    )
    report("a server of another authority is refused")


def _lead(first: Machine, leader: Machine) -> None:
    """Make a machine the leader of the events queue, so that its loss has the largest effect."""
    first.run(LEAD.replace("NODE", leader.name))
    time.sleep(1.0)
    if (said := first.run(LEADER).strip()) != f"rabbit@{leader.name}":
        raise MachineError(f"the queue is led by {said}")


def _wait_back(machine: Machine) -> None:
    """Block until all services work again on a machine that was off."""
    units.wait_for(machine, "om-api")
    units.wait_for(machine, "om-worker@1")
    # The broker starts at boot, and this command waits until the broker is ready.
    machine.run("systemctl start rabbitmq-server")
    report(f"{machine.name} is back")
