"""Explain each setting: what holds, where it came from, what it does, and what takes another value up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from messaging.environment import Environment
from messaging.settings_file import file_variables, variables_now
from omctl.check.configuration import shown
from webhook_api.held_settings import FIXED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXAMPLE: Final = files("deploy") / "environment.example"
"""The list that operators start from is what is explained here: one text for both."""

_SETTING: Final = re.compile(r"(#?)(OM_[A-Z_]+)=(.*)")
_HEADING: Final = re.compile(r"# -+ (.+?) -+")
_NO_DEFAULT: Final = re.compile(r"No default|Default: ([^.,;]+)")

RESTART: Final = "restart"
RELOAD: Final = "reload"
BOTH: Final = "reload of the edge, restart of the others"

_BY_NAME: Final = {
    # What gunicorn's master itself has begun with.
    **dict.fromkeys(FIXED.values(), RESTART),
    **dict.fromkeys(("OM_WEBHOOK_SECRETS", "OM_LOG_LEVEL"), RELOAD),
    **dict.fromkeys(("OM_ACCESS_LOG", "OM_AMQP_URL", "OM_MANAGEMENT_URL"), BOTH),
}
_EDGE_SECTION: Final = "The edge"


@dataclass(frozen=True, slots=True)
class Explained:
    """One setting.

    Args:
        name: The variable's.
        value: What holds, fit for a screen: secrets counted, passwords left out.
        source: settings file, environment, file and its path, credential, or default.
        text: Unit, effect and default, in the words of deploy/environment.example.
        taken_up: What it takes until another value holds.
    """

    name: str
    value: str
    source: str
    text: str
    taken_up: str


def explained() -> list[Explained]:
    """Return every setting, in the order of the example.

    Raises:
        ConfigurationError: A file that a variable names cannot be read.
    """
    environment, variables, in_file = Environment(), variables_now(), file_variables()
    settings = []
    for section, name, text, default in _listed(EXAMPLE.read_text(encoding="utf-8")):
        source = "settings file" if in_file.get(name, "").strip() else source_of(name, variables)
        value = shown(name, environment.string(name)) if source != "default" else default
        taken_up = _BY_NAME.get(name, RELOAD if section == _EDGE_SECTION else RESTART)
        settings.append(Explained(name, value, source, text, taken_up))
    return settings


def source_of(name: str, variables: Mapping[str, str]) -> str:
    """Return where the value of a setting comes from."""
    if name in variables:
        return "environment" if variables[name].strip() else "default"
    if path := variables.get(f"{name}_FILE"):
        return f"file {path}"
    directory = variables.get("CREDENTIALS_DIRECTORY")
    return "credential" if directory and (Path(directory) / name).exists() else "default"


def _listed(example: str) -> Iterator[tuple[str, str, str, str]]:
    """Return each setting's section, name, explanation and default."""
    section, comment = "", list[str]()
    for line in example.splitlines():
        if heading := _HEADING.fullmatch(line):
            section = heading[1]
        elif setting := _SETTING.fullmatch(line):
            text = " ".join(comment)
            yield section, setting[2], text, _default_of(text, setting[3])
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []


def _default_of(text: str, value: str) -> str:
    """Return the default: what the explanation says of it, or else the example's own value."""
    said = _NO_DEFAULT.search(text)
    return value if said is None else said[1] or "none"
