"""Copy the product's packages, to run the copy as a different version or to put a defect into it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.stand.product import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("messaging", "omctl", "simulator", "webhook_api", "workers")


def copy_of(sources: Path, directory: Path) -> Path:
    """Copy the product's packages into *directory*, which must not exist yet, and return the directory."""
    for package in PACKAGES:
        if (sources / package).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(sources / package, directory / package, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(SOURCES / name, directory / name)
    return directory
