"""Write the file of OM_DESTINATIONS that leads a deliver process to a receiver."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def destination_table(name: str, url: str, secret: str, events: Sequence[str]) -> str:
    """Return the table of one destination; *events* are the types it is told of."""
    values = {"url": url, "secret": secret, "events": list(events)}
    lines = (f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "\n".join([f"[destinations.{name}]", *lines, "", ""])
