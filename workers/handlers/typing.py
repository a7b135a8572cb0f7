"""Skip typing indicators, which are over before a service could use them.

Called if OM_STORE_TYPING is set or an integrator has a handler for them; otherwise they are only counted.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from workers.handlers.handler import Skips
from workers.parsing import ClaimedEvent


def typing(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001  # the shape of every handler
    """Skip all of them."""
    return {claimed.event_id: "typing" for claimed in events}
