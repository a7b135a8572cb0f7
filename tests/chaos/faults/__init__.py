"""List every fault, by the numbers of docs/guarantees.md."""

from __future__ import annotations

from typing import Final

from tests.chaos.faults import broker, edge
from tests.chaos.scene import Fault

_FAULTS: Final = (
    Fault(
        1,
        "kill -9 of the edge",
        (
            edge.an_edge_process_is_killed,
            edge.the_edge_master_is_killed,
            edge.the_edge_is_killed_while_the_broker_is_away,
        ),
        stands=("postgresql", "sqlite"),
    ),
    Fault(2, "kill -9 of the broker", (broker.the_broker_is_killed,), rate=600),
    Fault(3, "broker away for a minute", (broker.the_broker_is_away_for_a_minute,)),
    Fault(4, "all connections closed", (broker.all_connections_are_closed,)),
    Fault(6, "broker frozen", (broker.the_broker_is_frozen, broker.the_broker_is_frozen_and_killed)),
)

FAULTS: Final = {fault.number: fault for fault in _FAULTS}

LONGEST_FIRST: Final = sorted(FAULTS)
"""The order in which lanes take them: the long ones must not be the last."""
