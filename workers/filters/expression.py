"""Compile a CEL expression once, find the fields that it names, and evaluate it over bodies.

The library reports an expression's variables, but not their members. An expression that it has compiled is
well formed, so its tokens are enough to find the members: channel.externalId, participants[].role.

Source: the CEL specification, "Syntax" and "Macros".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from messaging.errors import OpenMessagingError
from workers.parsing import all_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cel import Program

Path: TypeAlias = "tuple[str, ...]"

ELEMENT: Final = "[]"
"""Stands for any member of a list in a path."""

MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
"""Macros whose first argument is the name of a variable for each member of the list or object."""

WORDS: Final = frozenset({"true", "false", "null", "in"})

_TOKEN: Final = re.compile(
    r"""
    \s+ | //[^\n]*
    | (?P<string> [rR]?[bB]?[rR]? (?: \"{3}.*?\"{3} | '{3}.*?'{3} | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' ))
    | (?P<name> [A-Za-z_]\w* )
    | (?P<number> \d[\w.]* )
    | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)

EMPTY: Final[Mapping[type, Any]] = {dict: {}, list: []}
"""Substitutes for parts that a body lacks, so that `has(routing.status)` is false instead of an error."""

MAX_EXPRESSION_LENGTH: Final = 4096
"""The parser limits the depth to 96, but 100,000 brackets cause a panic that `except Exception` misses."""


class FilterError(OpenMessagingError):
    """Correct the expression; the text names the mistake."""


class NoConditionError(FilterError):
    """Rewrite the expression as a condition: its value is neither true nor false."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled expression, the fields that it names, and warnings for the operator."""

    expression: str
    paths: frozenset[Path]
    _program: Program
    _parts: tuple[tuple[str, Any], ...]
    warnings: tuple[str, ...] = ()

    def evaluate(self, payload: Mapping[str, Any]) -> bool:
        """Return whether the filter accepts a body; raise FilterError if a field is missing or malformed."""
        # Pass only the parts that it names: converting the whole body would take most of the time.
        values = {name: payload.get(name, default) for name, default in self._parts}
        try:
            accepted = self._program.execute(values)
        except Exception as error:  # noqa: BLE001  # the library raises a built-in one for each kind of fault
            # The text of a type error quotes values of the event.
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else type(error).__name__
            raise FilterError(reason) from None
        if not isinstance(accepted, bool):
            raise NoConditionError("is not a condition: it is neither true nor false")
        return accepted


def compile_filter(expression: str) -> Filter:
    """Compile an expression without checking its fields."""
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise FilterError(f"is longer than {MAX_EXPRESSION_LENGTH} characters")
    # The import takes half a second and some megabytes, so it is done only if a filter is set.
    import cel  # noqa: PLC0415

    try:
        program = cel.compile(expression)
    except ValueError as error:
        # The library's message about the first mistake, without the drawing that follows it.
        first = str(error).partition("ERROR: ")[2].splitlines()[0].removeprefix("<input>:")
        raise FilterError(f"is not CEL: {first}") from None
    known = all_fields()
    parts = [(name, EMPTY.get(type(known[name]))) for name in program.variables() if name in known]
    return Filter(expression, find_paths(expression), program, tuple(parts))


def find_paths(expression: str) -> frozenset[Path]:
    """Return every field that a valid expression names, as the names that lead to it."""
    tokens = [match[0] for match in _TOKEN.finditer(expression) if match.lastgroup]
    return frozenset(_paths(tokens, {}))


def _paths(tokens: Sequence[str], bound: Mapping[str, Path]) -> Iterator[Path]:
    at = 0
    while at < len(tokens):
        word = tokens[at]
        starts = word.isidentifier() and word not in WORDS and (at == 0 or tokens[at - 1] != ".")
        if not starts or tokens[at + 1 : at + 2] == ["("]:
            at += 1
            continue
        path, at = bound.get(word, (word,)), at + 1
        while at < len(tokens) and tokens[at] in {".", "["}:
            if tokens[at] == "[":
                end = _closing(tokens, at)
                inner = tokens[at + 1 : end]
                path = (*path, _literal(inner) or ELEMENT)
                yield from _paths(inner, bound)
                at = end + 1
            elif tokens[at + 2 : at + 3] == ["("]:
                end = _closing(tokens, at + 2)
                yield from _arguments(tokens[at + 1], tokens[at + 3 : end], path, bound)
                at = end + 1
                break
            else:
                path, at = (*path, tokens[at + 1]), at + 2
        yield path


def _arguments(method: str, tokens: Sequence[str], path: Path, bound: Mapping[str, Path]) -> Iterator[Path]:
    """Yield the fields in a method's arguments; the first argument of a macro is the members' variable."""
    if method in MACROS and tokens[1:2] == [","]:
        bound, tokens = {**bound, tokens[0]: (*path, ELEMENT)}, tokens[2:]
    return _paths(tokens, bound)


def _closing(tokens: Sequence[str], opening: int) -> int:
    """Return the position of the bracket that closes the one at *opening*."""
    depth = 0
    for at in range(opening, len(tokens)):
        depth += (tokens[at] in {"(", "["}) - (tokens[at] in {")", "]"})
        if not depth:
            return at
    return len(tokens)


def _literal(tokens: Sequence[str]) -> str | None:
    """Return the text of an index that is a plain string literal."""
    is_plain = len(tokens) == 1 and tokens[0][0] in "'\"" and "\\" not in tokens[0]
    return tokens[0].strip("'\"") if is_plain else None
