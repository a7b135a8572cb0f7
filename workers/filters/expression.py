"""Compile an expression once and evaluate it over bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from messaging.errors import OpenMessagingError
from workers.filters.member_paths import ELEMENT, member_paths
from workers.parsing import all_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cel import Program

    from workers.filters.member_paths import Path

EMPTY: Final[Mapping[type, Any]] = {dict: {}, list: []}
"""What stands in for a part that a body lacks, so that `has(routing.status)` is false and no error."""

MAX_EXPRESSION_LENGTH: Final = 4096
"""The parser limits the depth to 96, but 100,000 brackets make it panic, which `except Exception` misses."""


class FilterError(OpenMessagingError):
    """Correct the expression; the text says what is wrong with it."""


class NoConditionError(FilterError):
    """Compare something: the expression comes to a value that is neither true nor false."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a body that an expression is given: to convert more than it names costs most of its time.

    Args:
        name: Of the part.
        default: What stands in where a body lacks it.
        members: What is named of an object; None: all of it.
    """

    name: str
    default: Any
    members: tuple[str, ...] | None

    def of(self, payload: Mapping[str, Any]) -> Any:
        value = payload.get(self.name, self.default)
        if self.members is None or not isinstance(value, dict):
            return value
        return {name: value[name] for name in self.members if name in value}


@dataclass(frozen=True, slots=True)
class Filter:
    """An expression that holds of a body or does not.

    Args:
        expression: In CEL.
        paths: The fields that it names.
        warnings: What a person should think about, none where nothing is to be said.
    """

    expression: str
    paths: frozenset[Path]
    _program: Program
    _parts: tuple[_Part, ...]
    warnings: tuple[str, ...] = ()

    def evaluate(self, payload: Mapping[str, Any]) -> bool:
        """Tell whether it holds of a parsed body.

        Raises:
            FilterError: It cannot be told: a field is not there, or of another kind.
        """
        values = {part.name: part.of(payload) for part in self._parts}
        try:
            held = self._program.execute(values)
        except Exception as error:  # noqa: BLE001  # the library raises a built-in one for each kind of fault
            # The text of a type error quotes values of the event.
            reason = f"{error.args[0]} is not there" if isinstance(error, KeyError) else type(error).__name__
            raise FilterError(reason) from None
        if not isinstance(held, bool):
            raise NoConditionError("is no condition: it is neither true nor false")
        return held


def compiled(expression: str) -> Filter:
    """Compile an expression, unchecked.

    Raises:
        FilterError: It is no CEL, or too long.
    """
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise FilterError(f"is longer than {MAX_EXPRESSION_LENGTH} characters")
    # Half a second, and some megabytes: for those alone who have a filter.
    import cel  # noqa: PLC0415

    try:
        program = cel.compile(expression)
    except ValueError as error:
        raise FilterError(_first_line(str(error))) from None
    known, paths = all_fields(), member_paths(expression)
    parts = [
        _Part(name, EMPTY.get(type(known[name])), _members(name, paths))
        for name in program.variables()
        if name in known
    ]
    return Filter(expression, paths, program, tuple(parts))


def _members(name: str, paths: frozenset[Path]) -> tuple[str, ...] | None:
    """Return what is named of a part; None where it is named as a whole, or as a list."""
    through = [path for path in paths if path[0] == name]
    is_known = all(len(path) > 1 and path[1] != ELEMENT for path in through)
    return tuple(sorted({path[1] for path in through})) if is_known else None


def _first_line(text: str) -> str:
    """Return what the library says of the first mistake, without its drawing."""
    return "is no CEL: " + text.partition("ERROR: ")[2].splitlines()[0].removeprefix("<input>:")
