"""List every fault, by the numbers of docs/guarantees.md."""

from __future__ import annotations

from typing import Final

from tests.chaos.faults import (
    broker,
    clock,
    cluster,
    database,
    edge,
    journal,
    load,
    management,
    network,
    topology,
    workers,
)
from tests.chaos.scene import Fault

BOTH: Final = ("postgresql", "sqlite")

_EDGE: Final = (
    edge.an_edge_process_is_killed,
    edge.the_edge_master_is_killed,
    edge.the_edge_is_killed_while_the_broker_is_away,
)
_ALARMS: Final = (
    broker.a_memory_alarm,
    broker.a_disk_alarm,
    broker.the_edge_is_restarted_during_an_alarm,
)
_FROZEN: Final = (broker.the_broker_is_frozen, broker.the_broker_is_frozen_and_killed)
_NETWORK: Final = (
    network.bytes_are_swallowed,
    network.bytes_are_delayed,
    network.bytes_drip,
    network.connections_are_reset,
    network.connections_are_cut,
)
_TOPOLOGY: Final = (
    topology.the_exchange_is_deleted,
    topology.the_queue_is_deleted,
    topology.the_binding_is_deleted,
    topology.a_policy_is_removed,
    topology.the_permissions_are_removed,
)
_MANAGEMENT: Final = (
    management.the_api_hangs,
    management.the_api_refuses,
    management.the_api_talks_nonsense,
    management.the_api_answers_zero,
)
_DATABASE: Final = (
    database.the_database_is_killed,
    database.there_are_too_many_connections,
    database.a_deadlock_is_forced,
    database.statements_take_too_long,
    database.the_disk_is_full,
    database.the_database_is_away_for_a_minute,
)
_WORKERS: Final = (
    workers.a_worker_is_killed,
    workers.a_worker_is_killed_before_it_commits,
    workers.a_worker_is_killed_before_it_acknowledges,
)
_DEAD_LETTERS: Final = (
    topology.the_dead_letter_exchange_is_deleted,
    topology.the_dead_letter_queue_is_deleted,
)
_JOURNAL: Final = (
    journal.the_disk_is_full,
    journal.the_limit_is_reached,
    journal.a_byte_is_flipped,
    journal.the_end_is_cut_off,
)
_REPEATS: Final = (workers.the_same_events_come_in_reverse, workers.fifty_come_at_once)
_STOPS: Final = (edge.everything_is_told_to_stop, edge.the_edge_is_reloaded, edge.the_edge_is_restarted)

_FAULTS: Final = (
    Fault(1, "kill -9 of the edge", _EDGE, stands=BOTH),
    Fault(2, "kill -9 of the broker", (broker.the_broker_is_killed,), rate=600),
    Fault(3, "broker away for a minute", (broker.the_broker_is_away_for_a_minute,)),
    Fault(4, "all connections closed", (broker.all_connections_are_closed,)),
    Fault(5, "memory alarm, disk alarm", _ALARMS),
    Fault(6, "broker frozen", _FROZEN),
    Fault(7, "bad network", _NETWORK, arrange=network.through_the_proxy),
    Fault(8, "topology deleted, rights removed", _TOPOLOGY),
    Fault(9, "bad management API", _MANAGEMENT, arrange=management.in_front_of_the_api),
    Fault(10, "kill -9 of a worker", _WORKERS, arrange=workers.through_the_proxy),
    Fault(11, "bad database", _DATABASE, arrange=database.on_a_tight_disk),
    Fault(
        12,
        "event that kills its worker",
        (workers.an_event_kills_its_worker,),
        stands=BOTH,
        arrange=workers.with_a_deadly_handler,
    ),
    Fault(13, "nowhere to put dead letters", _DEAD_LETTERS),
    Fault(14, "bad journal disk", _JOURNAL, arrange=journal.on_a_small_disk),
    Fault(15, "clock steps by an hour", (clock.the_clock_steps,), arrange=clock.with_a_false_clock),
    Fault(16, "same events at once", _REPEATS, stands=BOTH),
    Fault(17, "stop and restart at full load", _STOPS),
    Fault(18, "cluster loses nodes", (cluster.one_node_is_killed_then_another,), stands=("cluster",)),
    Fault(
        19,
        "more than is taken away",
        (load.senders_that_obey, load.senders_that_do_not),
        rounds=2,
        rate=load.RATE,
        arrange=load.with_slow_workers,
    ),
)

FAULTS: Final = {fault.number: fault for fault in _FAULTS}

LONGEST_FIRST: Final = [11, 3, 9, 19, 7, 6, 8, 18, 14, 2, 1, 5, 13, 17, 10, 12, 16, 15, 4]
"""The order in which lanes take them: the long ones must not be the last."""
