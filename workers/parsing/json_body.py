"""Parse a raw body as JSON, and say in one stable word what is wrong with one that is not."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from messaging.errors import RejectedEventError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SUSPICIOUS_ESCAPE: Final = re.compile(rb"\\u(?:0000|[dD])")
"""Only a body with one of these can hold a NUL character or a surrogate: UTF-8 encodes no surrogate, and
JSON allows no bare NUL in a string."""


def parse_body(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a webhook body is.

    Raises:
        RejectedEventError: It is no JSON object, or one that two readers could understand differently.
    """
    if body.startswith(BYTE_ORDER_MARK):
        raise RejectedEventError("byte_order_mark", "body: starts with a byte order mark")
    try:
        parsed = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RejectedEventError("not_utf8", f"body: no UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise RejectedEventError("not_json", f"body: no JSON at character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise RejectedEventError("too_deep", "body: nested too deeply") from None
    except ValueError:
        # The one ValueError that json passes through: int() refuses more than 4,300 digits.
        raise RejectedEventError("number_too_long", "body: a number has too many digits") from None
    if not isinstance(parsed, dict):
        raise RejectedEventError("not_an_object", "body: JSON, but not an object")
    if _SUSPICIOUS_ESCAPE.search(body):
        _refuse_unstorable(parsed, "")
    return parsed


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, refusing duplicate keys: readers differ in which one they take."""
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RejectedEventError("duplicate_key", f"{_shown(twice)}: stands twice in one object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise RejectedEventError("not_a_number", f"body: {name} is not JSON")


def _float_of(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise RejectedEventError("number_too_long", "body: a number is out of range")
    return number


def _refuse_unstorable(value: Any, path: str) -> None:
    """Refuse texts that no database stores; recursion is bounded by the parser's own limit."""
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name, f"{path}.{_shown(name)}" if path else _shown(name))
            _refuse_unstorable(member, f"{path}.{_shown(name)}" if path else _shown(name))
    elif isinstance(value, list):
        for position, member in enumerate(value):
            _refuse_unstorable(member, f"{path}[{position}]")


def _check_text(text: str, path: str) -> None:
    if "\x00" in text:
        raise RejectedEventError("nul_character", f"{path}: holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise RejectedEventError("lone_surrogate", f"{path}: holds half of a surrogate pair") from None


def _shown(name: str) -> str:
    """Return a member's name fit for a reason: short, printable, storable."""
    return "".join(character if character.isprintable() else "?" for character in name[:100])


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object_of, parse_constant=_refuse_constant, parse_float=_float_of
)
