"""omctl ipranges runs against the simulated platform, and nginx reads the written list."""

import json
import subprocess

import pytest
from click.testing import CliRunner

from messaging.errors import OpenMessagingError
from omctl.connect.ipranges import ipranges
from simulator.platform import Fault
from tests.servers import LOOPBACK, ensure_nginx, free_port, nginx
from workers.genesys import PlatformUnavailableError


@pytest.fixture
def environment(platform):
    """The settings of a host that runs only the edge and therefore needs no database."""
    return platform | {"OM_GENESYS_REGION": "eu-central-1"}


def run(environment, *arguments):
    return CliRunner().invoke(ipranges, arguments, env=environment, catch_exceptions=False)


def test_nginx_accepts_the_address_list_that_the_command_writes(environment, tmp_path):
    ensure_nginx()
    written = tmp_path / "addresses.conf"
    assert "replaced: 2 networks" in run(environment, "--format", "nginx", "--output", str(written)).output
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; include {written}; server {{ listen {LOOPBACK}:{free_port()};\n"
        "location / { if ($om_from_platform = 0) { return 403; } return 204; } } }\n"
    )
    tried = subprocess.run([nginx(), "-t", "-c", configuration], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr


def test_a_list_is_replaced_only_if_it_differs_and_never_in_a_dry_run(environment, organisation, tmp_path):
    written = tmp_path / "addresses"
    # A region can be given as its domain.
    run({**environment, "OM_GENESYS_REGION": "mypurecloud.de"}, "--output", str(written))
    before = written.read_text()
    assert "is up to date" in run(environment, "--output", str(written)).output
    del organisation.address_ranges[2]
    assert "would be replaced" in run(environment, "--output", str(written), "--dry-run").output
    assert written.read_text() == before
    report = json.loads(run(environment, "--output", str(written), "--json").output)
    assert report == {"networks": ["192.0.2.0/24"], "changed": True, "done": True}
    assert list(tmp_path.iterdir()) == [written]


def test_the_last_good_list_is_kept_if_the_platform_is_away_or_its_list_is_empty(
    environment, organisation, tmp_path
):
    written = tmp_path / "addresses"
    run(environment, "--output", str(written))
    before = written.read_text()
    organisation.inject_fault(Fault(503))
    with pytest.raises(PlatformUnavailableError):
        run(environment, "--output", str(written))
    organisation.address_ranges.clear()
    with pytest.raises(OpenMessagingError):
        run(environment, "--output", str(written))
    assert written.read_text() == before
