"""Stop each stage on an event's path, and check that om-observe's canary names the stage within 90 s."""

import re
import time
from typing import Final

from tests.machines.image import MachineError
from tests.machines.machine import Machine
from tests.machines.progress import format_counts, report
from tests.machines.traffic import CERTIFICATE, PATH

ENVIRONMENT: Final = "/etc/open-messaging/environment"
TLS: Final = "/etc/open-messaging/tls"
NAMED_SECONDS: Final = 90.0
METRICS: Final = (
    "python3 -c 'import urllib.request as r;"
    ' print(r.urlopen("http://127.0.0.1:9464/metrics", timeout=10).read().decode())\''
)
STOPPED: Final = re.compile(r'^om_canary_stopped\{stage="(\w+)"\} 1\.0$', re.MULTILINE)
ANOTHER_CERTIFICATE: Final = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=elsewhere"
    f" -keyout {TLS}/key.pem -out {CERTIFICATE} 2>&1"
)
FAULTS: Final = {
    "database": ("systemctl stop postgresql@17-main", "systemctl start postgresql@17-main"),
    "broker": ("systemctl stop rabbitmq-server", "systemctl start rabbitmq-server"),
    # Stop the scaler and the socket unit, too, because they would restart the worker and the edge.
    "intake": ("systemctl stop om-scaler 'om-worker@*'", "systemctl start om-worker@1 om-scaler"),
    "edge": ("systemctl stop om-api.socket om-api", "systemctl start om-api.socket om-api"),
    "certificate": (
        f"cp -a {TLS} /root/tls && {ANOTHER_CERTIFICATE} && systemctl reload nginx",
        f"cp -a /root/tls/. {TLS} && systemctl reload nginx",
    ),
    "gateway": ("systemctl stop nginx", "systemctl start nginx"),
}
"""For each stage that the canary must name, the commands that stop and restart the stage."""


def run(machine: Machine) -> None:
    """Enable the canary, stop one stage after another, and print the longest time until a stage was named.

    Each stage is stopped as soon as the previous one is named: the next canary is then almost a minute away.
    """
    machine.run(f"cat {CERTIFICATE} >>/etc/ssl/certs/ca-certificates.crt")
    machine.run(f"echo OM_CANARY_URL=https://{machine.address}{PATH} >>{ENVIRONMENT}")
    machine.run("systemctl restart om-observe")
    _wait(machine, [])
    seconds = []
    for stage, (stop, start) in FAULTS.items():
        began = time.monotonic()
        machine.run(stop)
        _wait(machine, [stage])
        seconds.append(round(time.monotonic() - began))
        machine.run(start)
        report(f"canary: {stage} was named {seconds[-1]} s after it stopped")
    _wait(machine, [])
    machine.run(f"sed -i /OM_CANARY_URL/d {ENVIRONMENT} && systemctl restart om-observe")
    numbers = {"stages": len(FAULTS), "named": len(seconds), "slowest_s": max(seconds)}
    print(format_counts("canary", numbers), flush=True)


def _wait(machine: Machine, stages: list[str]) -> None:
    """Block until the metrics name exactly these stages as stopped, and at least one canary has arrived."""
    deadline = time.monotonic() + NAMED_SECONDS
    while time.monotonic() < deadline:
        metrics = machine.run(METRICS)
        if "om_canary_seconds" in metrics and STOPPED.findall(metrics) == stages:
            return
        time.sleep(1.0)
    raise MachineError(f"not {stages} but {STOPPED.findall(metrics)} after {NAMED_SECONDS:.0f} s")
