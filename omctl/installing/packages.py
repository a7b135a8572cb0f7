"""Install Debian's packages, where the host lacks them."""

from __future__ import annotations

import os

from omctl.installing.step import Step, run, succeeds


def package_step(package: str) -> Step:
    """Return the step that installs *package* of Debian."""
    return Step(f"install {package}", lambda: is_installed(package), lambda: _install(package))


def is_installed(package: str) -> bool:
    """Tell whether *package* is there and whole."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return succeeds(query) and run(query) == "installed"


def _install(package: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "--quiet"], environment=quiet)
    run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package], environment=quiet)
