"""Read why the broker closed a channel or a connection."""

from __future__ import annotations

import re
import sys
from typing import Final

NO_LIMIT: Final = sys.maxsize
_TOO_LARGE: Final = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")


def described(reason: object) -> str:
    """Say in one line what pika says, without addresses or credentials."""
    code = getattr(reason, "reply_code", None)
    text = getattr(reason, "reply_text", None)
    return f"{code} {text}" if code else type(reason).__name__


def size_limit_of(reason: object) -> int:
    """Return the largest body that the broker takes, where it closed a channel for a larger one.

    Source:
        RabbitMQ 4.0.5, `check_msg_size` in rabbit_channel.erl: a 406 of this text.
    """
    too_large = _TOO_LARGE.search(str(getattr(reason, "reply_text", "")))
    return int(too_large[1]) if too_large else NO_LIMIT
