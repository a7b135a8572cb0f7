"""Every package of setup.cfg is in the image and is checked."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PACKAGES = [name.rstrip("*") for name in SETUP["options.packages.find"]["include"].split()]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_a_package_with_modules_is_a_package_itself(package):
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_in_the_image_and_is_checked(package):
    assert f"!{package}" in (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert package in re.search(r"^CODE = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert package in SETUP["mypy"]["packages"].replace(",", " ").split()
    assert package in SETUP["importlinter"]["root_packages"].split()
