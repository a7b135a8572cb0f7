"""The kernel drops connections beyond the firewall's limits; two network namespaces act as two hosts."""

import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest

from omctl.installing.gateway import firewall_rules
from omctl.installing.options import Options
from tests.integration.omctl import flood
from tests.waiting import wait_until

ADDRESS = "10.99.0.1"
SERVER = """
import resource, socket
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
listener = socket.create_server(("", 443), backlog=4096)
held = []
while True:
    held.append(listener.accept())
"""


def run(command):
    return subprocess.run(shlex.split(command), check=True, capture_output=True, text=True).stdout


@pytest.fixture
def namespaces():
    """The names of two network namespaces, for a gateway and a sender, whose eth0 interfaces are linked."""
    if os.geteuid() or not (shutil.which("ip") and shutil.which("nft")):
        pytest.skip("network namespaces take root, iproute2 and nftables")
    gateway, sender = (f"om-{secrets.token_hex(4)}" for _ in range(2))
    with ExitStack() as stack:
        for name in (gateway, sender):
            if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
                pytest.skip("network namespaces cannot be made here")
            stack.callback(run, f"ip netns del {name}")
        run(f"ip -n {gateway} link add eth0 type veth peer name eth0 netns {sender}")
        run(f"ip -n {gateway} address add {ADDRESS}/24 dev eth0")
        for name in (gateway, sender):
            run(f"ip -n {name} link set eth0 up")
        yield gateway, sender


@pytest.mark.parametrize(("addresses", "limit"), [(1, 128), (40, 4096)])
def test_connections_beyond_the_limit_of_one_sender_or_of_all_senders_are_dropped(
    namespaces, tmp_path, addresses, limit
):
    gateway, sender = (f"ip netns exec {name}" for name in namespaces)
    (tmp_path / "rules.nft").write_text(firewall_rules(Options(firewall=True)))
    run(f"{gateway} nft --file {tmp_path}/rules.nft")
    with subprocess.Popen([*gateway.split(), sys.executable, "-c", SERVER]) as server:
        try:
            wait_until(lambda: ":443" in run(f"{gateway} ss -Hltn"))
            opened = int(run(f"{sender} {sys.executable} {flood.__file__} {ADDRESS} {addresses}"))
        finally:
            server.kill()
    rules = run(f"{gateway} nft list chain inet open_messaging senders")
    assert 0 < opened <= limit
    assert re.search(rf"ct count over {limit}\b[^\n]* packets [1-9]", rules)
