"""Declare settings as fields with their environment variables, and find unknown OM_ variables."""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final, Self

from messaging.environment import PREFIX, Environment, variables_now
from messaging.errors import ConfigurationError
from messaging.log import LEVELS, logger

EXAMPLE: Final = files("omctl") / "host-files" / "environment.example"
"""The file that lists and explains every setting; a test compares it with the declared fields."""

positive: Final = partial(Environment.integer, minimum=1)


def required(purpose: str) -> Callable[[Environment, str, Any], Any]:
    """Return a reader of a setting that must not be empty; the error's text contains *purpose*."""

    def read(environment: Environment, name: str, default: str) -> str:
        if text := environment.string(name, default):
            return text
        raise ConfigurationError(f"{name} must name {purpose}")

    return read


def setting(name: str, read: Callable[..., Any], default: Any, *, is_secret: bool = False) -> Any:
    """Declare a field of `Settings` for the variable *name*; `repr` does not show the field if *is_secret*.

    *read* is called with an `Environment`, *name* and *default*. It is usually a method of `Environment`.
    """
    return field(default=default, repr=not is_secret, metadata={"variable": name, "read": read})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a process; each field is declared with `setting`."""

    log_level: str = setting("OM_LOG_LEVEL", partial(Environment.one_of, choices=LEVELS), "info")

    @classmethod
    def from_environment(cls) -> Self:
        """Read and check all settings; raise a ConfigurationError that names the first invalid setting."""
        source = Environment()
        declared = ((field.name, field.metadata, field.default) for field in fields(cls))
        return cls(**{name: how["read"](source, how["variable"], default) for name, how, default in declared})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings(Settings):
    """The settings that all worker roles share; deploy/environment.example explains each setting."""

    database_url: str = setting("OM_DATABASE_URL", required("the database"), "", is_secret=True)


@cache
def known_settings() -> frozenset[str]:
    """Return the names of all settings that deploy/environment.example lists."""
    return frozenset(re.findall(rf"^#?({PREFIX}[A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))


def unknown_settings(names: Iterable[str]) -> dict[str, str]:
    """Return the unknown OM_ variables among *names*, each with a warning for operators."""
    return {
        name: _advise(name)
        for name in sorted(names)
        if name.startswith(PREFIX) and not {name, name.removesuffix("_FILE")} & known_settings()
    }


def warn_of_unknown_settings() -> None:
    """Log a warning for each unknown OM_ variable; call this once when the process starts."""
    for advice in unknown_settings(variables_now()).values():
        logger().warning("setting_unknown", reason=advice)


def _advise(name: str) -> str:
    similar = difflib.get_close_matches(name.removesuffix("_FILE"), known_settings(), n=1, cutoff=0.8)
    question = f" Did you mean {similar[0]}?" if similar else ""
    return f"Unknown setting {name} is ignored.{question}"
