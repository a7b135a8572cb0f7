"""List the defects that `make chaos-sabotage` puts into the product: at least one for every fault."""

from __future__ import annotations

from typing import Final

from tests.chaos.defects import before_the_queue, behind_the_queue, beside_good_events, past_the_tables

DEFECTS: Final = (
    *before_the_queue.DEFECTS,
    *behind_the_queue.DEFECTS,
    *past_the_tables.DEFECTS,
    *beside_good_events.DEFECTS,
)
