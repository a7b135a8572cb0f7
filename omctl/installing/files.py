"""Write the host's files: whole, at once, with the rights they need, and only where they differ."""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from omctl.installing.options import UNITS
from omctl.installing.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = files("deploy")
"""What the wheel brings along for the host: units, the gateway, the list of settings."""


def file_step(path: Path, text_of: Callable[[], str], *, mode: int = 0o644) -> Step:
    """Return the step that makes *path* hold a text.

    Args:
        path: Its directory is made where it is missing, with the mode 755.
        text_of: Gives the text when the step's turn has come.
        mode: Of the file, which belongs to root.
    """
    return Step(f"write {path}", lambda: read(path) == text_of(), lambda: replace(path, text_of(), mode=mode))


def restart_step(unit: str) -> Step:
    """Return the step that has systemd start a Debian service again that was killed.

    Args:
        unit: Of Debian, such as nginx.service.
    """
    return file_step(
        UNITS / f"{unit}.d" / "open-messaging.conf", lambda: shipped("systemd/restart-on-failure.conf")
    )


def kept_file_step(path: Path, text_of: Callable[[], str], *, mode: int) -> Step:
    """Return the step that makes *path* where it is missing; what a person wrote into it stays."""
    return Step(f"write {path}", path.exists, lambda: replace(path, text_of(), mode=mode))


def read(path: Path) -> str | None:
    """Return the text of *path*; None where it is missing."""
    return path.read_text(encoding="utf-8") if path.exists() else None


def replace(path: Path, text: str, *, mode: int) -> None:
    """Put *text* in the place of *path* at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    Path(temporary).replace(path)


def shipped(name: str) -> str:
    """Return the text of a file that the wheel brings along, such as `systemd/om-api.service`."""
    return SHIPPED.joinpath(*name.split("/")).read_text(encoding="utf-8")
