"""Parse a raw body as JSON; a malformed body raises an error whose stable code identifies the mistake.

All JSON that RFC 8259 permits is accepted, in time proportional to its size. If a name occurs twice, the last
value counts, as in JavaScript and PostgreSQL (docs/decisions/0113-json-as-it-is-permitted.md).
"""

import codecs
import json
import re
from typing import Any, Final, NoReturn

from messaging.errors import RejectedEventError

MAX_EXACT: Final = 2**53
"""Up to this number, a float can represent every integer exactly."""

_IDENTIFIER: Final = re.compile(r"[\w:.\-]{1,200}", re.ASCII)


def parse_body(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; raise RejectedEventError if the body is not a JSON object."""
    if body.startswith(codecs.BOM_UTF8):
        raise RejectedEventError("byte_order_mark", "body: starts with a byte order mark")
    try:
        parsed = _parse(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RejectedEventError("not_utf8", f"body: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise RejectedEventError(
            "not_json", f"body: not JSON at character {error.pos}: {error.msg}"
        ) from None
    except RecursionError:
        raise RejectedEventError("too_deep", "body: nested too deeply") from None
    if not isinstance(parsed, dict):
        raise RejectedEventError("not_an_object", "body: JSON, but not an object")
    return parsed


def read_identifiers(body: bytes) -> tuple[str | None, str | None]:
    """Return an unprocessable body's event type and conversation id; None for either that cannot be read."""
    try:
        payload = parse_body(body)
    except RejectedEventError:
        return None, None
    values = (payload.get("eventType", payload.get("type")), payload.get("conversationId"))
    event_type, conversation_id = (
        value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else None for value in values
    )
    return event_type, conversation_id


def json_text(value: Any) -> str:
    """Return a value of a parsed body as ASCII JSON, which a database can store as text."""
    return json.dumps(value, separators=(",", ":"))


def _parse(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # int() refuses more than 4,300 digits. _PATIENT_DECODER accepts them but is slower, so try it second.
        return _PATIENT_DECODER.decode(text)


def _refuse_constant(name: str) -> NoReturn:
    raise RejectedEventError("not_a_number", f"body: {name} is not JSON")


def _parse_float(text: str) -> float | str:
    """Return a number. 1.0 and 1e0 become the integer 1; a number beyond the range of floats stays text."""
    number = float(text)
    if abs(number) <= MAX_EXACT and number.is_integer():
        return int(number)
    return text if number in (float("inf"), float("-inf")) else number


def _parse_integer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_float)
_PATIENT_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_parse_float, parse_int=_parse_integer
)
