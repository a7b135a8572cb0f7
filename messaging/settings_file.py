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
    path = os.environ.get("OM_SETTINGS_FILE")
    if not path:
        return os.environ
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{VARIABLE} must name a readable text file") from None
    return os.environ | settings_in(text)


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
