"""Obtain a certificate with certbot from a local ACME server, renew it, and check what nginx serves.

`python -m tests.machines.renewal` runs only this, on a machine of its own.
"""

import json
import ssl
import time
from typing import Final

from tests.machines.image import MachineError
from tests.machines.machine import Machine, Network
from tests.machines.page_states import CERTBOT, REHEARSAL
from tests.machines.pages import DOCS, read_blocks
from tests.machines.progress import format_counts, report
from tests.machines.traffic import PATH

NAME: Final = "hooks.example.com"
"""The host name in docs/install.md."""

LIVE: Final = f"/etc/letsencrypt/live/{NAME}/cert.pem"
ROOT: Final = "/root/acme-root.pem"
EVENTS: Final = 20
RELOAD_SECONDS: Final = 20.0
ACME_SERVER: Final = {
    "listenAddress": "127.0.0.1:14000",
    "managementListenAddress": "127.0.0.1:15000",
    "certificate": "/root/acme.crt",
    "privateKey": "/root/acme.key",
    "httpPort": 80,
}
"""pebble's configuration. As Let's Encrypt does, it fetches certbot's file from port 80 of the host name."""

START: Final = f"""\
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes -q --no-install-recommends certbot pebble
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost \\
    -keyout /root/acme.key -out /root/acme.crt
cat /root/acme.crt >>/etc/ssl/certs/ca-certificates.crt
printf '%s\\n' 'server = https://localhost:14000/dir' 'no-random-sleep-on-renew = True' \\
    >>/etc/letsencrypt/cli.ini
systemd-run --quiet --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_AUTHZREUSE=0 \\
    --setenv=PEBBLE_WFE_NONCEREJECT=0 pebble -config /root/acme.json
until ss -Hltn 'sport = :15000' | grep -q .; do sleep 1; done
python3 >{ROOT} -c '
import urllib.request
print(urllib.request.urlopen("https://localhost:15000/roots/0").read().decode())'
echo $(hostname -I) {NAME} >>/etc/hosts"""
"""Runs Debian's ACME server pebble as certbot's default server, so that the page's commands need no change.

The environment makes pebble check the host name for each certificate, and neither wait nor refuse at random.
Without a terminal, `certbot renew` would first wait for up to eight minutes.
"""

MAKE_DUE: Final = f"sed -i '1i renew_before_expiry = 10 years' /etc/letsencrypt/renewal/{NAME}.conf"
"""Makes certbot.service renew the certificate now. pebble's certificates are valid for five years."""


def run(machine: Machine) -> None:
    """Run the commands of docs/install.md, renew as certbot.timer does, and print the number of certificates.

    Raises:
        MachineError: nginx does not serve the newest certificate, or does not answer events with 200.
    """
    machine.run("cat >/root/acme.json", text=json.dumps({"pebble": ACME_SERVER}))
    machine.run(f"set -e; {START}")
    _follow_page(machine, CERTBOT)
    first = _check(machine, other_than="")
    report("certbot: nginx serves a certificate from a local ACME server")
    _follow_page(machine, REHEARSAL)
    machine.run(f"{MAKE_DUE} && systemctl start certbot.service")
    _check(machine, other_than=first)
    report("certbot: nginx serves the renewed certificate")
    machine.run("systemctl stop pebble")
    print(format_counts("renewal", {"certificates": 2, "events": 2 * EVENTS}), flush=True)


def _follow_page(machine: Machine, start: str) -> None:
    """Run the block of docs/install.md that begins with *start*."""
    [block] = [block for block in read_blocks(DOCS / "install.md") if block.find([start])]
    machine.run(f"set -e; {block.script}")


def _check(machine: Machine, *, other_than: str) -> str:
    """Check that nginx answers events with certbot's newest certificate, and return this certificate."""
    newest = machine.run(f"cat {LIVE}").strip()
    if newest == other_than:
        raise MachineError("certbot has not renewed the certificate")
    deadline = time.monotonic() + RELOAD_SECONDS
    while ssl.get_server_certificate((machine.address, 443)).strip() != newest:
        if time.monotonic() > deadline:
            raise MachineError("nginx does not serve the certificate that certbot obtained")
        time.sleep(0.5)
    machine.run(f"SSL_CERT_FILE={ROOT} omctl simulate https://{NAME}{PATH} --events {EVENTS}")
    return newest


if __name__ == "__main__":
    with Network("open-messaging-renewal", "10.83.51") as network, Machine(network, "om-1", 11) as machine:
        machine.run("make install-vm")
        run(machine)
