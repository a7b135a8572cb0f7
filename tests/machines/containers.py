"""Test the service in containers: start it with compose, send an event over TLS, and stop it."""

import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import requests

from omctl.signatures import SIGNATURE_HEADER
from tests.machines.composition import Composition
from tests.machines.image import MachineError, docker, prepare_compose
from tests.machines.progress import conclude, report
from tests.machines.stand_ins import make_stand_ins
from tests.machines.traffic import PATH
from webhook_api.signature import sign

PATIENCE_SECONDS: Final = 90.0
LASTING: Final = {
    "rabbitmq": 1, "postgresql": 1, "edge": 1, "gateway": 1, "intake": 2, "settle": 1, "retain": 1,
    "observe": 1, "prometheus": 1,
}  # fmt: skip
"""Each service that compose starts without a profile, with the number of its containers."""


def run() -> bool:
    """Run all steps, and print and record the result. The first step that fails ends the run."""
    make_stand_ins()
    prepare_compose()
    with Composition() as composition:
        composition.up()
        report("docker compose up")
        conversation = _send(composition)
        report("an event was answered 200 through the gateway, by TLS")
        _await("the event's row", lambda: _rows(composition, conversation) == 1)
        report("its row is in processed_events")
        _await("all targets up", lambda: _targets(composition) == {"edge:8080": "up", "observe:9464": "up"})
        rules = sum(len(group["rules"]) for group in _prometheus(composition, "rules")["groups"])
        report(f"Prometheus sees its targets, and has {rules} rules")
        running = _running(composition)
        if running != LASTING:
            raise MachineError(f"not {LASTING} run but {running}")
        if restarted := _restarted(composition):
            raise MachineError(f"started again: {restarted}")
        composition.run("run", "--rm", "omctl", "check")
        report("omctl check finds no problem")
    numbers = {"containers": sum(running.values()), "rules": rules, "rows": 1}
    return conclude("compose", numbers, passed=rules > 0)


def _send(composition: Composition) -> str:
    """Post an event as the platform does, and return its conversation's id."""
    conversation = f"compose-{secrets.token_hex(8)}"
    event = {
        "eventType": "openmessaging:conversation:new",
        "conversationId": conversation,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    body = json.dumps(event).encode()
    secret = composition.secret("webhook_secrets").read_bytes().strip()
    answer = requests.post(
        f"https://127.0.0.1:{composition.ports['OM_GATEWAY_PORT']}{PATH}",
        data=body,
        headers={"Content-Type": "application/json", SIGNATURE_HEADER: sign(body, secret)},
        timeout=10.0,
        verify=str(composition.secret("certificate.pem")),
    )
    if answer.status_code != 200:
        raise MachineError(f"the gateway answered {answer.status_code}: {answer.text[:500]}")
    return conversation


def _rows(composition: Composition, conversation: str) -> int:
    query = f"SELECT count(*) FROM processed_events WHERE conversation_id = '{conversation}'"  # noqa: S608  # ours
    psql = ["exec", "-T", "postgresql", "psql", "-U", "postgres", "-d", "open_messaging", "-Atc", query]
    return int(composition.run(*psql))


def _targets(composition: Composition) -> dict[str, str]:
    targets = _prometheus(composition, "targets")["activeTargets"]
    return {target["labels"]["instance"]: target["health"] for target in targets}


def _prometheus(composition: Composition, what: str) -> Any:
    port = composition.ports["OM_PROMETHEUS_PORT"]
    return requests.get(f"http://127.0.0.1:{port}/api/v1/{what}", timeout=10.0).json()["data"]


def _running(composition: Composition) -> dict[str, int]:
    services = composition.run("ps", "--status=running", "--format={{.Service}}").split()
    return {service: services.count(service) for service in services}


def _restarted(composition: Composition) -> list[str]:
    """Return the containers that the container engine has restarted."""
    containers = composition.run("ps", "--all", "--quiet").split()
    shown = docker("inspect", "--format={{.Name}} {{.RestartCount}}", *containers).splitlines()
    return [each for each in shown if not each.endswith(" 0")]


def _await(what: str, is_so: Callable[[], bool]) -> None:
    """Block until a condition is true.

    Raises:
        MachineError: The condition did not become true in time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise MachineError(f"no {what} after {PATIENCE_SECONDS:.0f} s")
        time.sleep(1.0)
