"""Compile a CEL expression, find the fields that it names, and evaluate it against bodies.

The library reports an expression's variables, but not their members, such as channel.externalId or
participants[].role. A compiled expression is well formed, so its tokens are enough to find the members.

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
"""Represents any member of a list in a path."""

MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
"""CEL macros whose first argument names the variable for each member of a list or object."""

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
"""Default values for fields that a body lacks, so that `has(routing.status)` is false instead of an error."""

MAX_EXPRESSION_LENGTH: Final = 4096
"""Maximum length of an expression. 100,000 brackets cause a panic, which `except Exception` misses."""


class FilterError(OpenMessagingError):
    """Correct the filter expression; the error's text explains the mistake."""


class NoConditionError(FilterError):
    """Rewrite the filter expression as a condition; its current value is neither true nor false."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter expression, the fields and string literals in it, and warnings for operators."""

    paths: frozenset[Path]
    texts: tuple[str, ...]
    _program: Program
    _parts: tuple[tuple[str, Any], ...]
    warnings: tuple[str, ...] = ()

    def evaluate(self, payload: Mapping[str, Any]) -> bool:
        """Return whether the filter accepts a body; raise FilterError if a field is missing or malformed."""
        # Pass only the fields that the filter names, because converting a whole body would take too long.
        values = {name: payload.get(name, default) for name, default in self._parts}
        try:
            accepted = self._program.execute(values)
        except Exception as error:  # noqa: BLE001  # the library raises various built-in errors
            # The error can quote a value of the event, even as a missing key, as in attributes[message.text].
            key = error.args[0] if isinstance(error, KeyError) else None
            is_named = any(key in path for path in self.paths)
            raise FilterError(f"{key} is missing" if is_named else type(error).__name__) from None
        if not isinstance(accepted, bool):
            raise NoConditionError("is not a condition: its result is neither true nor false")
        return accepted


def compile_filter(expression: str) -> Filter:
    """Compile a filter expression without checking the fields that it names."""
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise FilterError(f"is longer than {MAX_EXPRESSION_LENGTH} characters")
    # Import the library only here, because importing it takes half a second and a few megabytes.
    import cel  # noqa: PLC0415

    try:
        program = cel.compile(expression)
    except ValueError as error:
        # Use the library's message about the first mistake, without the source excerpt that follows it.
        first = str(error).partition("ERROR: ")[2].splitlines()[0].removeprefix("<input>:")
        raise FilterError(f"is not valid CEL: {first}") from None
    known = all_fields()
    parts = [(name, EMPTY.get(type(known[name]))) for name in program.variables() if name in known]
    literals = filter(None, (match["string"] for match in _TOKEN.finditer(expression)))
    texts = tuple(literal.lstrip("rRbB").strip("'\"") for literal in literals)
    return Filter(find_paths(expression), texts, program, tuple(parts))


def find_paths(expression: str) -> frozenset[Path]:
    """Return the paths of all fields that a valid expression names."""
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
    """Yield the paths in a method's arguments; in a macro, the first argument is a variable for members."""
    if method in MACROS and tokens[1:2] == [","]:
        bound, tokens = {**bound, tokens[0]: (*path, ELEMENT)}, tokens[2:]
    return _paths(tokens, bound)


def _closing(tokens: Sequence[str], opening: int) -> int:
    """Return the position of the bracket that closes the bracket at *opening*."""
    depth = 0
    for at in range(opening, len(tokens)):
        depth += (tokens[at] in {"(", "["}) - (tokens[at] in {")", "]"})
        if not depth:
            return at
    return len(tokens)


def _literal(tokens: Sequence[str]) -> str | None:
    """Return the text of an index if it is a plain string literal, else None."""
    is_plain = len(tokens) == 1 and tokens[0][0] in "'\"" and "\\" not in tokens[0]
    return tokens[0].strip("'\"") if is_plain else None
