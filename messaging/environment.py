"""Read the OM_ settings from the environment as typed values, and refuse malformed values.

The value of NAME is read from the first source that has it: the file that OM_SETTINGS_FILE names; the
environment; the file that NAME_FILE names; the file NAME in systemd's credentials directory. Errors name the
variable but never repeat its value, which might be a secret.
"""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from messaging.errors import ConfigurationError

SETTINGS_FILE: Final = "OM_SETTINGS_FILE"
"""The variable that names a file of settings. Unlike the environment, that file can be reloaded."""

PREFIX: Final = "OM_"

Number = TypeVar("Number", int, float)

TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class Environment:
    """The current settings, or *variables*, each read by its full name.

    Without *variables*, the constructor can raise the error of `variables_now`.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = variables_now() if variables is None else variables

    def string(self, name: str, default: str = "") -> str:
        """Return the value of *name* as text without surrounding white space."""
        text = self._read(name)
        return default if text is None else text

    def strings(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return the value of *name*, split at commas, without empty parts."""
        text = self._read(name)
        if text is None:
            return default
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def integer(self, name: str, default: int, *, minimum: int = 0) -> int:
        """Return the value of *name* as a whole number of at least *minimum*."""
        return self._number(name, default, minimum, int, "a whole number")

    def seconds(self, name: str, default: float, *, minimum: float = 0.0) -> float:
        """Return the value of *name* as a finite number of seconds of at least *minimum*."""
        return self._number(name, default, minimum, float, "a number of seconds")

    def boolean(self, name: str, default: bool) -> bool:  # noqa: FBT001  # like the others
        """Return the value of *name* as a truth value; it must be true/false, yes/no, on/off or 1/0."""
        text = self._read(name)
        if text is None:
            return default
        if text.lower() not in TRUTHS:
            raise ConfigurationError(f"{name} must be true or false")
        return TRUTHS[text.lower()]

    def one_of(self, name: str, default: str, *, choices: tuple[str, ...]) -> str:
        """Return the value of *name*, which must be one of *choices*."""
        value = self.string(name, default)
        if value not in choices:
            raise ConfigurationError(f"{name} must be one of {', '.join(choices)}")
        return value

    def _number(
        self, name: str, default: Number, minimum: Number, convert: Callable[[str], Number], form: str
    ) -> Number:
        text = self._read(name)
        try:
            value = default if text is None else convert(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be {form}") from None
        if not minimum <= value < math.inf:
            raise ConfigurationError(f"{name} must be {form} of at least {minimum}")
        return value

    def _read(self, name: str) -> str | None:
        """Return the text of the setting *name*, or None if it is blank or not set."""
        text = self._variables.get(name)
        if text is None and (path := self._variables.get(f"{name}_FILE")):
            text = read_text(path, f"{name}_FILE")
        if text is None and (directory := self._variables.get("CREDENTIALS_DIRECTORY")):
            text = _read_credential(Path(directory), name)
        return (text or "").strip() or None


def variables_now() -> Mapping[str, str]:
    """Return the environment, overridden by the OM_ variables that the settings file contains now.

    Raises ConfigurationError if the file cannot be read or one of its lines is not a setting.
    """
    return os.environ | in_file if (in_file := file_variables()) else os.environ


def file_variables() -> dict[str, str]:
    """Return the OM_ variables in the settings file, if one is named; raises the error of `variables_now`."""
    path = os.environ.get(SETTINGS_FILE)
    return parse_settings(read_text(path, SETTINGS_FILE)) if path else {}


def read_text(path: str, name: str) -> str:
    """Return the text of the file *path*; raises ConfigurationError, which names the setting *name*."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{name} must name a readable text file") from None


def parse_settings(lines: str) -> dict[str, str]:
    """Return the OM_ variables of a file in the format of systemd's EnvironmentFile=.

    Raises ConfigurationError if a line has no "=".

    Source: systemd.exec(5), EnvironmentFile=: "#" and ";" start a comment line, a value may be quoted.
    """
    settings = {}
    for number, line in enumerate(map(str.strip, lines.splitlines()), 1):
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise ConfigurationError(f"{SETTINGS_FILE}: line {number} must be NAME=value")
        if name.strip().startswith(PREFIX):
            text = value.strip()
            is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
            settings[name.strip()] = text[1:-1] if is_quoted else text
    return settings


def _read_credential(directory: Path, name: str) -> str | None:
    try:
        return (directory / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{name}: its systemd credential must be a readable text file") from None
