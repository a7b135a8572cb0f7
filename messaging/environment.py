"""Read the OM_ settings of the environment, typed, or refuse to start.

A value comes from the first of: the variable itself, in the file that OM_SETTINGS_FILE names or else in the
environment; the file that NAME_FILE names; the file NAME in systemd's credentials directory. Errors name the
variable and never repeat a value: it may be a secret.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from messaging.errors import ConfigurationError
from messaging.settings_file import variables_now

TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class Environment:
    """The settings as they are when this is made, each read by its full name.

    Raises:
        ConfigurationError: OM_SETTINGS_FILE cannot be read.
    """

    def __init__(self) -> None:
        self._variables = variables_now()

    def string(self, name: str, default: str = "") -> str:
        """Return *name* as text without surrounding white space."""
        text = self._text_of(name)
        return default if text is None else text

    def required(self, name: str, purpose: str) -> str:
        """Return *name* as text, which must name *purpose*."""
        text = self.string(name)
        if not text:
            raise ConfigurationError(f"{name} must name {purpose}")
        return text

    def strings(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return *name* split at commas, empty parts left out."""
        text = self._text_of(name)
        if text is None:
            return default
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def integer(self, name: str, default: int, *, minimum: int = 0) -> int:
        """Return *name* as a whole number of at least *minimum*."""
        text = self._text_of(name)
        try:
            value = default if text is None else int(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be a whole number") from None
        if value < minimum:
            raise ConfigurationError(f"{name} must be at least {minimum}")
        return value

    def seconds(self, name: str, default: float, *, minimum: float = 0.0) -> float:
        """Return *name* as a finite number of seconds of at least *minimum*."""
        text = self._text_of(name)
        try:
            value = default if text is None else float(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be a number of seconds") from None
        if not math.isfinite(value) or value < minimum:
            raise ConfigurationError(f"{name} must be a number of seconds of at least {minimum}")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return *name* as a truth value: true/false, yes/no, on/off, 1/0."""
        text = self._text_of(name)
        if text is None:
            return default
        if text.lower() not in TRUTHS:
            raise ConfigurationError(f"{name} must be true or false")
        return TRUTHS[text.lower()]

    def one_of(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """Return *name*, which must be one of *choices*."""
        value = self.string(name, default)
        if value not in choices:
            raise ConfigurationError(f"{name} must be one of {', '.join(choices)}")
        return value

    def _text_of(self, name: str) -> str | None:
        """Return the text of *name*, or None where it is set nowhere or blank."""
        text = self._variables.get(name)
        if text is None and (path := self._variables.get(f"{name}_FILE")):
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise ConfigurationError(f"{name}_FILE must name a readable text file") from None
        if text is None and (directory := self._variables.get("CREDENTIALS_DIRECTORY")):
            text = _credential(Path(directory), name)
        return (text or "").strip() or None


def _credential(directory: Path, name: str) -> str | None:
    try:
        return (directory / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{name}: its systemd credential must be a readable text file") from None
