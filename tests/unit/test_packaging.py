"""The wheel and the image are complete: packages, files and dependencies are declared, locked and shipped."""

import ast
import configparser
import re
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PACKAGES = [name.rstrip("*") for name in SETUP["options.packages.find"]["include"].split()]
LOCKED = re.findall(
    r"^([a-z0-9._-]+)==([^ ]+)", (ROOT / "deploy" / "requirements.lock").read_text(), re.MULTILINE
)
BACKEND = "setuptools"
OURS = {"messaging", "webhook_api", "workers", "omctl", "simulator", "deploy"}
CHECKOUT_ONLY = {"psutil"}
"""Packages that only deploy/local imports, which is not in the wheel."""


def requirements(option):
    lines = SETUP["options"][option].splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def closure():
    """Return the name and version of every installed package that the service needs on this Python."""
    found, waiting = {}, [(requirement, "") for requirement in requirements("install_requires")]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        package = distribution(requirement.name)
        name = canonicalize_name(requirement.name)
        if name in found and not requirement.extras:
            continue
        found[name] = package.version
        needed = [Requirement(text) for text in package.requires or ()]
        waiting += [(need, each_extra) for need in needed for each_extra in requirement.extras or {""}]
    return found


def test_the_lock_file_has_exactly_the_packages_of_an_installation():
    locked = {name: version for name, version in LOCKED if name != BACKEND}
    for_other_systems = {"colorama", "tzdata"}
    assert closure().items() <= locked.items()
    assert locked.keys() - closure().keys() <= for_other_systems


def test_the_build_backend_is_pinned_to_the_locked_release():
    assert f'requires = ["{BACKEND}=={dict(LOCKED)[BACKEND]}"]' in (ROOT / "pyproject.toml").read_text()


def imported_modules():
    """Yield each module that the product imports, with the path of the importing file."""
    for package in sorted(OURS):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from ((alias.name, path) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module, path


def test_every_imported_package_is_declared():
    providers = packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in requirements("install_requires")}
    undeclared = {
        f"{path.relative_to(ROOT)}: {module}"
        for module, path in imported_modules()
        if (top := module.partition(".")[0]) not in OURS | CHECKOUT_ONLY | sys.stdlib_module_names
        and not declared & set(map(canonicalize_name, providers.get(top, ())))
    }
    assert undeclared == set()


@pytest.mark.parametrize(
    "library", ["flask", "gunicorn", "marshmallow", "pika", "psycopg", "sqlalchemy", "urllib3"]
)
def test_a_library_whose_internal_names_we_use_has_an_upper_version_bound(library):
    [requirement] = [each for each in requirements("install_requires") if each.name == library]
    assert any(clause.operator == "<" for clause in requirement.specifier)


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


def test_all_files_that_omctl_installs_on_a_host_are_packaged():
    patterns = SETUP["options.package_data"]["omctl"].split()
    packed = {path for pattern in patterns for path in (ROOT / "omctl").glob(pattern)}
    folders = ("systemd", "nginx", "nftables", "rabbitmq", "postgresql", "polkit", "prometheus", "grafana")
    shipped = {path for folder in folders for path in (ROOT / "omctl" / "host-files" / folder).iterdir()}
    assert shipped <= packed
