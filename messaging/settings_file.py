"""Read the file that OM_SETTINGS_FILE names, which can be read again where an environment cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from messaging.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "OM_SETTINGS_FILE"
PREFIX: Final = "OM_"


def variables_now() -> Mapping[str, str]:
    """Return the environment, over it the settings file's OM_ variables as they are now.

    Raises:
        ConfigurationError: The file cannot be read, or a line of it is no setting.
    """
    return os.environ | in_file if (in_file := file_variables()) else os.environ


def file_variables() -> dict[str, str]:
    """Return what the settings file says now; nothing where none is named.

    Raises:
        ConfigurationError: As `variables_now`.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{VARIABLE} must name a readable text file") from None
    return settings_in(text)


def settings_in(text: str) -> dict[str, str]:
    """Return the OM_ variables of a file as systemd's EnvironmentFile= has it, one NAME=value a line.

    Source:
        systemd.exec(5), EnvironmentFile=: "#" and ";" start a comment line, a value may stand in quotes.

    Raises:
        ConfigurationError: A line has no "=".
    """
    settings = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise ConfigurationError(f"{VARIABLE}: line {number} must be NAME=value")
        if name.strip().startswith(PREFIX):
            settings[name.strip()] = _unquoted(value.strip())
    return settings


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value
