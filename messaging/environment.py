"""Read the OM_ settings of the environment as typed values, and refuse malformed ones.

A value comes from the first of: the variable itself, in the file that OM_SETTINGS_FILE names or else in the
environment; the file that NAME_FILE names; the file NAME in systemd's credentials directory. Errors name the
variable and never repeat a value: it may be a secret.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from messaging.errors import ConfigurationError

SETTINGS_FILE: Final = "OM_SETTINGS_FILE"
"""Names a file of settings that, unlike the environment, can be reloaded."""

PREFIX: Final = "OM_"

TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class Environment:
    """The current settings, each read by its full name; raises as `variables_now`."""

    def __init__(self) -> None:
        self._variables = variables_now()

    def string(self, name: str, default: str = "") -> str:
        """Return *name* as text without surrounding white space."""
        text = self._read(name)
        return default if text is None else text

    def strings(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return *name* split at commas, without empty parts."""
        text = self._read(name)
        if text is None:
            return default
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def integer(self, name: str, default: int, *, minimum: int = 0) -> int:
        """Return *name* as a whole number of at least *minimum*."""
        text = self._read(name)
        try:
            value = default if text is None else int(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be a whole number") from None
        if value < minimum:
            raise ConfigurationError(f"{name} must be at least {minimum}")
        return value

    def seconds(self, name: str, default: float, *, minimum: float = 0.0) -> float:
        """Return *name* as a finite number of seconds of at least *minimum*."""
        text = self._read(name)
        try:
            value = default if text is None else float(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be a number of seconds") from None
        if not math.isfinite(value) or value < minimum:
            raise ConfigurationError(f"{name} must be a number of seconds of at least {minimum}")
        return value

    def boolean(self, name: str, default: bool) -> bool:  # noqa: FBT001  # as the others
        """Return *name* as a truth value: true/false, yes/no, on/off, 1/0."""
        text = self._read(name)
        if text is None:
            return default
        if text.lower() not in TRUTHS:
            raise ConfigurationError(f"{name} must be true or false")
        return TRUTHS[text.lower()]

    def one_of(self, name: str, default: str, *, choices: tuple[str, ...]) -> str:
        """Return *name*, which must be one of *choices*."""
        value = self.string(name, default)
        if value not in choices:
            raise ConfigurationError(f"{name} must be one of {', '.join(choices)}")
        return value

    def _read(self, name: str) -> str | None:
        """Return the text of *name*, or None if it is not set or blank."""
        text = self._variables.get(name)
        if text is None and (path := self._variables.get(f"{name}_FILE")):
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise ConfigurationError(f"{name}_FILE must name a readable text file") from None
        if text is None and (directory := self._variables.get("CREDENTIALS_DIRECTORY")):
            text = _read_credential(Path(directory), name)
        return (text or "").strip() or None


def variables_now() -> Mapping[str, str]:
    """Return the environment, overridden by the settings file's OM_ variables as they are now.

    Raises ConfigurationError if the file cannot be read, or a line of it is no setting.
    """
    return os.environ | in_file if (in_file := file_variables()) else os.environ


def file_variables() -> dict[str, str]:
    """Return the settings file's OM_ variables; empty if no file is named. Raises as `variables_now`."""
    path = os.environ.get(SETTINGS_FILE)
    if not path:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{SETTINGS_FILE} must name a readable text file") from None
    return parse_settings(text)


def parse_settings(lines: str) -> dict[str, str]:
    """Return the OM_ variables of a file in the format of systemd's EnvironmentFile=.

    Raises ConfigurationError if a line has no "=".

    Source:
        systemd.exec(5), EnvironmentFile=: "#" and ";" start a comment line, a value may be quoted.
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
