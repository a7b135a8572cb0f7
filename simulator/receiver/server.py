"""Serve a receiver on this host, for as long as it is wanted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from simulator.receiver.app import create_receiver
from simulator.serving import serving_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.receiver.inbox import Inbox


@contextmanager
def serving(inbox: Inbox, port: int = 0) -> Iterator[str]:
    """Serve *inbox* in a thread; yields the address, to which a destination's name is the path.

    Args:
        inbox: Takes what comes.
        port: Where; 0 for any that is free.
    """
    with serving_app(create_receiver(inbox), port) as url:
        yield url
