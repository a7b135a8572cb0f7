"""deploy/install-vm runs in a temporary directory with fake versions of Python, pip, sudo and omctl."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from omctl.installing.credentials import VARIABLES

ROOT = Path(__file__).parents[3]
PACKED = ("messaging", "webhook_api", "workers", "simulator", "omctl")
RECORD = 'printf "%s\\n" "$(basename "$0") $*" >> "$CALLS"\n'
OMCTL = f"""\
{RECORD}case "$FAILS $*" in
    early*) exit 1 ;;
    *--dry-run*) exit 0 ;;
esac
echo "ExecStart=$(dirname "$0")/python -m workers intake" > "$UNITS/om-worker@.service"
[ "$FAILS" != late ]
"""
PIP = f"""\
{RECORD}case "$*" in *" $REFUSED"*) exit 1 ;; esac
"""
PYTHON = f"""\
case "$1" in
    -c) echo 3.13 ;;
    -m) mkdir -p "$3/bin"; cp "$STAND_INS/omctl" "$STAND_INS/pip" "$3/bin" ;;
esac
{RECORD}"""
NOW = "20261126T120000Z"


class Host:
    """A host on which the script runs, with a record of the programs that the script calls."""

    def __init__(self, root):
        self.opt, self.settings, self.units = (root / name for name in ("opt", "etc", "units"))
        self._stand_ins, self._calls = root / "bin", root / "calls"
        self._script = root / "checkout" / "deploy" / "install-vm"
        for path in (self.opt, self.settings, self.units, self._stand_ins, self._script.parent):
            path.mkdir(parents=True)
        for name in PACKED:
            (root / "checkout" / name).mkdir()
        for name in ("setup.cfg", "pyproject.toml", "README.md"):
            (root / "checkout" / name).touch()
        shutil.copy(ROOT / "deploy" / "requirements.lock", self._script.parent)
        text = (ROOT / "deploy" / "install-vm").read_text()
        text = text.replace("/opt/open-messaging", str(self.opt))
        text = text.replace("/etc/systemd/system", str(self.units))
        self._script.write_text(text.replace("/etc/open-messaging", str(self.settings)))
        programs = {"python3": PYTHON, "pip": PIP, "omctl": OMCTL, "sudo": RECORD, "id": "echo 0\n"}
        for name, program in programs.items():
            self.stand_in(name, program)

    def stand_in(self, name, text):
        (self._stand_ins / name).write_text(f"#!/bin/sh\n{text}")
        (self._stand_ins / name).chmod(0o755)

    def run(self, *arguments, now=NOW, **variables):
        """Run the script at the time *now* and return its exit status."""
        self.stand_in("date", f"echo {now}\n")
        environment = {
            "PATH": f"{self._stand_ins}:{os.environ['PATH']}",
            "STAND_INS": str(self._stand_ins),
            "CALLS": str(self._calls),
            "UNITS": str(self.units),
            "FAILS": "",
            "REFUSED": "nothing",
            **variables,
        }
        command = ["sh", str(self._script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    def calls(self, program):
        """Return the arguments of each call to *program*."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]

    def environments(self):
        return sorted(path.name for path in self.opt.iterdir())


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ([*VARIABLES, *(f"{name}_FILE" for name in VARIABLES), "OM_MAX_BODY_BYTES"], ["--role", "edge"]),
        ([], []),
    ],
    ids=["all", "none"],
)
def test_sudo_preserves_the_variables_of_an_ordinary_user_that_name_servers_and_secrets(
    host, named, arguments
):
    host.stand_in("id", "echo 1000\n")
    assert host.run(*arguments, LANG="C", **dict.fromkeys(named, "a secret\nof two lines")) == 0
    [call] = host.calls("sudo")
    kept, *command = call.split()
    assert set(kept.removeprefix("--preserve-env=").split(",")) == {"PYTHON", *named}
    assert command == ["sh", "deploy/install-vm", *arguments]


OTHERS = ["1", "20260101", "backup", "handlers of ours", "zz"]


@pytest.mark.parametrize(
    ("before", "left"),
    [
        (["20260101T000000Z", "20260301T000000Z", "20260201T000000Z"], ["20260301T000000Z"]),
        # The names contain times in the future, because the clock was set back.
        (["20270101T000000Z", "20270201T000000Z"], ["20270201T000000Z"]),
        (OTHERS, OTHERS),
    ],
    ids=["older", "later", "none of ours"],
)
def test_the_previous_environment_stays_and_older_ones_are_deleted(host, before, left):
    for name in before:
        (host.opt / name).mkdir()
    assert host.run("--workers", "2") == 0
    assert host.environments() == sorted([*left, NOW])
    assert host.calls("omctl") == ["install --workers 2"]


def test_a_new_environment_stays_if_the_units_may_already_use_it(host):
    assert host.run(FAILS="late") == 1
    assert host.environments() == [NOW]


@pytest.mark.parametrize("fails", ["early", "late"])
def test_the_running_environment_is_kept_through_failed_upgrades(host, fails):
    """An early failure happens before the units use the new environment, and a late failure afterwards."""
    assert host.run() == 0
    for hour in range(1, 4):
        assert host.run(now=f"20261127T0{hour}0000Z", FAILS=fails) == 1
    new = "20261127T040000Z"
    assert host.run(now=new) == 0
    assert {NOW, new} <= set(host.environments())
    assert host.run(now="20261128T000000Z") == 0
    assert host.environments() == [new, "20261128T000000Z"]


def test_an_environment_stays_if_the_units_were_reverted_to_it(host):
    assert host.run() == 0
    earlier = (host.units / "om-worker@.service").read_text()
    assert host.run(now="20261127T000000Z") == 0
    (host.units / "om-worker@.service").write_text(earlier)
    assert host.run(now="20261128T000000Z") == 0
    assert NOW in host.environments()


def test_a_dry_run_changes_no_environment(host):
    for now in ("20260101T000000Z", "20260201T000000Z"):
        assert host.run(now=now) == 0
    assert host.run("--dry-run") == 0
    assert host.environments() == ["20260101T000000Z", "20260201T000000Z"]


def test_only_packages_with_a_hash_in_the_lock_file_and_an_integrators_packages_are_installed(host):
    (host.settings / "requirements.txt").write_text("order-mentions\n")
    assert host.run() == 0
    locked, wheel, own, additions = host.calls("pip")
    assert "--require-hashes --only-binary :all: --requirement deploy/requirements.lock" in locked
    assert "--no-build-isolation" in wheel
    assert "--no-deps" in own
    assert "--constraint" in additions
    assert additions.endswith(f"--requirement {host.settings}/requirements.txt")
    assert host.calls("omctl") == ["install"]


@pytest.mark.parametrize("refused", ["--wheel-dir", "--constraint"])
def test_an_incomplete_environment_is_deleted_and_other_environments_stay(host, refused):
    (host.settings / "requirements.txt").write_text("order-mentions\n")
    (host.opt / "20260101T000000Z").mkdir()
    assert host.run(REFUSED=refused) == 1
    assert host.environments() == ["20260101T000000Z"]
    assert host.calls("omctl") == []
