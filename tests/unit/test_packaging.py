"""Every package of setup.cfg is complete, installed in the image and checked."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PACKAGES = [name.rstrip("*") for name in SETUP["options.packages.find"]["include"].split()]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_modules_is_a_package(package):
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_in_the_image_and_is_checked(package):
    assert f"!{package}" in (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert package in re.search(r"^CODE = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert package in SETUP["mypy"]["packages"].replace(",", " ").split()
    assert package in SETUP["importlinter"]["root_packages"].split()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_targets_of_symbolic_links_are_built_into_the_wheel(package):
    links = [path for path in (ROOT / package).rglob("*") if path.is_symlink()]
    for script in ("install-vm", "local/build-distributions"):
        assert re.search(rf"cp -RL .* {package} ", (ROOT / "deploy" / script).read_text())
    included = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert [link for link in links if f"!{link.resolve().relative_to(ROOT)}" not in included] == []


def test_no_installed_package_has_a_common_name():
    assert not {"deploy", "migrations", "tests", "docs"} & set(PACKAGES)


def test_all_files_that_omctl_installs_on_a_host_are_packaged():
    patterns = SETUP["options.package_data"]["omctl"].split()
    packed = {path for pattern in patterns for path in (ROOT / "omctl").glob(pattern)}
    folders = ("systemd", "nginx", "nftables", "polkit", "prometheus", "grafana")
    shipped = {path for folder in folders for path in (ROOT / "omctl" / "host-files" / folder).iterdir()}
    assert shipped <= packed


def test_a_release_needs_the_evidence_of_every_long_suite():
    assert re.search(r"^release: evidence ", (ROOT / "Makefile").read_text(), re.MULTILINE)
