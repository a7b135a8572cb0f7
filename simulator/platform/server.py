"""Serve a simulated platform on this host, for as long as it is wanted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from simulator.platform.app import create_platform
from simulator.serving import serving_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.platform.organisation import Organisation
    from simulator.platform.page import Fates


@contextmanager
def serving_platform(
    organisation: Organisation, port: int = 0, *, fates: Fates | None = None
) -> Iterator[str]:
    """Serve *organisation* and its page in a thread; yields the address.

    Args:
        organisation: What is served.
        port: Where; 0 for any that is free.
        fates: Says on the page what became of a webhook behind the edge.
    """
    app = create_platform(organisation, has_page=True, fates=fates)
    try:
        with serving_app(app, port) as url:
            yield url
    finally:
        organisation.outbound.stop()
