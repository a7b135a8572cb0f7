"""Remove the service from a machine, install an edge and then a worker with existing servers, and purge."""

from typing import Final

from tests.machines import units
from tests.machines.image import MachineError
from tests.machines.machine import Machine
from tests.machines.progress import format_counts, report

CREDENTIALS: Final = "/etc/open-messaging/credentials"
NAMED: Final = "/root/named"
EVENTS: Final = 50
OTHER_BIND: Final = "127.0.0.1:8090"
ROWS: Final = "runuser -u postgres -- psql -At open_messaging -c 'SELECT count(*) FROM processed_events'"
QUEUED: Final = "rabbitmqctl -q list_queues name messages | sed -n 's/^open-messaging.events\\t//p'"

AWAIT: Final = f"for i in $(seq 60); do test $({QUEUED}) {{condition}} && exit; sleep 1; done; exit 1"


def run(machine: Machine) -> None:
    """Run all steps, and print how many rows were kept and how many were deleted.

    Raises:
        MachineError: A removal left something behind, or removed something that should have stayed.
    """
    omctl = machine.run("sed -n 's,^exec \\(.*\\) .*,\\1,p' /usr/local/sbin/omctl").strip()
    kept = int(machine.run(ROWS))
    _dry_run(machine)
    machine.run("omctl uninstall")
    _expect(machine, "systemctl list-unit-files --no-legend 'om-*' | wc -l", "0")
    _expect(machine, "systemctl list-units --all --no-legend 'om-*' | wc -l", "0")
    _expect(machine, "ss -Hltn 'sport = :443 or sport = :8080' | wc -l", "0")
    _expect(machine, ROWS, str(kept))
    report(f"uninstalled: no unit and no port is left, {kept} events are")
    _share(machine, omctl)
    rows = int(machine.run(ROWS))
    _purge(machine, omctl)
    print(format_counts("removal", {"kept": kept, "shared": rows - kept, "purged": rows}), flush=True)


def _dry_run(machine: Machine) -> None:
    before = units.services(machine)
    machine.run("omctl uninstall --dry-run && omctl uninstall --purge --dry-run && omctl install --dry-run")
    if units.services(machine) != before:
        raise MachineError("a dry run has changed what runs")


def _share(machine: Machine, omctl: str) -> None:
    """Install only the edge, then only a worker, with the addresses of an existing broker and database.

    As docs/install.md says, the edge's user may only publish and read depths, and the workers' user may
    declare queues.
    """
    machine.run(f"mv {CREDENTIALS} {NAMED}")
    given = " ".join(f"{name}=$(cat {NAMED}/edge/{name})" for name in ("OM_AMQP_URL", "OM_MANAGEMENT_URL"))
    machine.run(f"{given} {omctl} install --role edge")
    if (running := units.services(machine)) != ["om-api.service"]:
        raise MachineError(f"a host of the role edge runs {running}")
    machine.run(f"{given} {omctl} install --role edge --bind {OTHER_BIND}")
    _expect(machine, "ss -Hltn 'sport = :8080' | wc -l", "0")
    url = f"http://{OTHER_BIND}/webhooks/genesys/openmessaging"
    machine.run(f"omctl simulate {url} --events {EVENTS} --duplicates 0")
    machine.run(AWAIT.format(condition=f"-ge {EVENTS}"))
    machine.run("omctl check")
    report("an edge alone, moved to another port, of a broker that was named: its events wait in the queue")
    machine.run(f"omctl uninstall && rm -r {CREDENTIALS}")
    names = ("OM_AMQP_URL", "OM_MANAGEMENT_URL", "OM_DATABASE_URL")
    servers = " ".join(f"{name}=$(cat {NAMED}/owner/{name})" for name in names)
    machine.run(f"{servers} {omctl} install --role worker")
    if "om-api.service" in units.services(machine):
        raise MachineError("a host of the role worker runs an edge")
    machine.run(AWAIT.format(condition="-eq 0"))
    machine.run("omctl check")
    report("a worker alone, of a database that was named: it has worked them off")


def _purge(machine: Machine, omctl: str) -> None:
    machine.run(f"{omctl} uninstall --purge --yes")
    _expect(machine, "runuser -u postgres -- psql -Atl | grep -c open_messaging || true", "0")
    _expect(machine, "rabbitmqctl -q list_queues name | grep -c open-messaging || true", "0")
    _expect(machine, "ls -d /etc/open-messaging /var/lib/open-messaging 2>/dev/null | wc -l", "0")
    _expect(machine, "getent passwd open-messaging open-messaging-scaler | wc -l", "0")
    report("purged: no event, no secret, no account is left")


def _expect(machine: Machine, command: str, what: str) -> None:
    if (said := machine.run(command).strip()) != what:
        raise MachineError(f"`{command}` said {said}, not {what}")
