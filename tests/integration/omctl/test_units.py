"""systemd's own tools check the installed units."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from omctl.installing.gateway import FIREWALL_UNIT
from omctl.installing.options import Options
from omctl.installing.steps import shipped
from omctl.installing.units import EDGE_UNITS, WORKER_UNITS, render_unit

TOLERABLE = 1.5
"""The highest accepted exposure level; systemd-analyze rates from 0 (no access) to 10."""

NAMES = (*EDGE_UNITS, *WORKER_UNITS, FIREWALL_UNIT)
SERVICES = [name.replace("@.", "@1.") for name in NAMES if name.endswith(".service")]

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"), reason="no systemd on this machine"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root directory with the units that `omctl install` writes."""
    root = tmp_path_factory.mktemp("root")
    units = root / "etc/systemd/system"
    (units / "om-.service.d").mkdir(parents=True)
    (units / "om-.service.d" / "hardening.conf").write_text(shipped("systemd/om-hardening.conf"))
    program = root / "opt/open-messaging/1/bin"
    program.mkdir(parents=True)
    for name in ("python", "gunicorn", "omctl"):
        (program / name).touch(mode=0o755)
    for name in NAMES:
        (units / name).write_text(render_unit(name, Options(prefix=Path("/opt/open-messaging/1"))))
    return root


def analyze(root, *arguments):
    return subprocess.run(
        ["systemd-analyze", f"--root={root}", "--no-pager", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_low_exposure_level(root, service):
    output = analyze(root, "security", "--offline=true", service).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", output)
    assert found, output
    assert float(found[1]) <= TOLERABLE


@pytest.mark.parametrize("name", [name.replace("@.", "@1.") for name in NAMES])
def test_systemd_accepts_every_line_of_a_unit(root, name):
    units = root / "etc/systemd/system"
    output = analyze(root, "verify", "--man=no", "--recursive-errors=no", str(units / name)).stderr
    assert not re.findall(r".*(?:Unknown|Invalid|ignoring).*", output)
