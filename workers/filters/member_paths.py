"""Find the fields that a CEL expression names: channel.externalId, participants[].role.

The library that compiles and evaluates expressions tells their variables, not the members of these. The
expression has been compiled already: its form is beyond doubt, and only its words are looked at.

Source: the CEL specification, "Syntax" and "Macros".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Path: TypeAlias = "tuple[str, ...]"

ELEMENT: Final = "[]"
"""Stands for any member of a list."""

MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
"""Their first argument is a name for each member of what they are called on."""

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


def member_paths(expression: str) -> frozenset[Path]:
    """Return every field that is named, as the words that lead to it."""
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
    """Yield what a method's arguments name; in those of a macro a name stands for the members."""
    if method in MACROS and tokens[1:2] == [","]:
        bound, tokens = {**bound, tokens[0]: (*path, ELEMENT)}, tokens[2:]
    return _paths(tokens, bound)


def _closing(tokens: Sequence[str], opening: int) -> int:
    """Return where the bracket closes that opens there."""
    depth = 0
    for at in range(opening, len(tokens)):
        depth += (tokens[at] in {"(", "["}) - (tokens[at] in {")", "]"})
        if not depth:
            return at
    return len(tokens)


def _literal(tokens: Sequence[str]) -> str | None:
    """Return the text of an index that is one, written as it is."""
    is_plain = len(tokens) == 1 and tokens[0][0] in "'\"" and "\\" not in tokens[0]
    return tokens[0].strip("'\"") if is_plain else None
