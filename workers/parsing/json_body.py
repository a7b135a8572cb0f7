"""Parse a raw body as JSON, and say in one stable word what is wrong with one that is not.

Everything that RFC 8259 permits is taken, in time that rises with the body's size and nothing else. Of two
members of one name the last counts, as in JavaScript and PostgreSQL
(docs/decisions/0113-json-as-it-is-permitted.md).
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from messaging.errors import RejectedEventError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

EXACT_UP_TO: Final = 2**53
"""Up to here a float that is whole is exactly that whole number."""


def parse_body(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a webhook body is.

    Raises:
        RejectedEventError: It is no JSON object.
    """
    if body.startswith(BYTE_ORDER_MARK):
        raise RejectedEventError("byte_order_mark", "body: starts with a byte order mark")
    try:
        parsed = _parse(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RejectedEventError("not_utf8", f"body: no UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise RejectedEventError("not_json", f"body: no JSON at character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise RejectedEventError("too_deep", "body: nested too deeply") from None
    if not isinstance(parsed, dict):
        raise RejectedEventError("not_an_object", "body: JSON, but not an object")
    return parsed


def json_text(value: Any) -> str:
    """Write a value of a parsed body as JSON that a database stores as text, in ASCII."""
    return json.dumps(value, separators=(",", ":"))


def canonical_json(value: Any) -> bytes:
    """Write a value of a parsed body in the one way that all spellings of it have in common."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _parse(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # The one ValueError that json passes through: int() refuses more than 4,300 digits. A function of
        # ours for every number would cost each body for the sake of this one.
        return _PATIENT_DECODER.decode(text)


def _refuse_constant(name: str) -> NoReturn:
    raise RejectedEventError("not_a_number", f"body: {name} is not JSON")


def _float_of(text: str) -> float | str:
    """Return a number: 1.0 and 1e0 are 1, and what no float can be stays the text that it is."""
    number = float(text)
    if abs(number) <= EXACT_UP_TO and number.is_integer():
        return int(number)
    return text if number in (float("inf"), float("-inf")) else number


def _integer_of(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_float_of)
_PATIENT_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_float_of, parse_int=_integer_of
)
