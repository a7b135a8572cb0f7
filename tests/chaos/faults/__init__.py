"""List every fault, with its number in docs/faults.md."""

from __future__ import annotations

from typing import Final

from tests.chaos.behind import DESTINATION
from tests.chaos.bounds import A_REFUSAL, A_START, AN_EPISODE, AN_OUTAGE, TWO_STARTS, UNFELT, UNFELT_STALL
from tests.chaos.faults import (
    bad_events,
    behind,
    broker,
    clock,
    cluster,
    combined,
    database,
    destinations,
    edge,
    journal,
    load,
    management,
    network,
    platform,
    strangers,
    topology,
    workers,
)
from tests.chaos.scene import ANSWERED_AT_LAST, ANYTHING, Fault, Form
from tests.chaos.waits import MODEST_RATE, Good, is_no_update

BOTH: Final = ("postgresql", "sqlite")
REFUSED_BY_THE_JOURNAL: Final = ANSWERED_AT_LAST | {503}
REFUSED_BY_PRESSURE: Final = ANSWERED_AT_LAST | {429}
AT_ONCE: Final = (0.0, 0.0)
A_MINUTE: Final = (60.0, 65.0)

_FAULTS: Final = (
    Fault(
        1,
        "kill -9 of the edge",
        (
            Form(edge.an_edge_process_is_killed, allowed=ANYTHING),
            Form(edge.the_edge_master_is_killed, allowed=ANYTHING),
            Form(edge.the_edge_is_killed_while_the_broker_is_away, allowed=ANYTHING),
        ),
        stands=BOTH,
        stall=A_START,
        p99=A_START,
    ),
    Fault(2, "kill -9 of the broker", (Form(broker.the_broker_is_killed),)),
    Fault(3, "broker away for a minute", (Form(broker.the_broker_is_away, A_MINUTE),), rounds=1),
    Fault(4, "all connections closed", (Form(broker.all_connections_are_closed),)),
    Fault(
        5,
        "memory alarm, disk alarm",
        (
            Form(broker.a_memory_alarm, (2.0, 5.0), stall=UNFELT_STALL, p99=UNFELT),
            Form(broker.a_disk_alarm, (2.0, 5.0), stall=UNFELT_STALL, p99=UNFELT),
            Form(broker.the_edge_is_restarted_during_an_alarm, (2.0, 5.0), allowed=ANSWERED_AT_LAST),
        ),
        stall=A_START,
        p99=A_START,
    ),
    Fault(
        6,
        "broker frozen",
        (
            Form(broker.the_broker_is_frozen, (30.0, 32.0)),
            Form(broker.the_broker_is_frozen_and_killed, (2.0, 12.0)),
        ),
    ),
    Fault(
        7,
        "bad network",
        (
            Form(network.bytes_are_swallowed, (3.0, 22.0)),
            Form(network.bytes_are_delayed, (4.0, 8.0)),
            Form(network.bytes_drip, (4.0, 8.0)),
            Form(network.connections_are_reset),
            Form(network.connections_are_cut),
        ),
        arrange=network.through_the_proxy,
    ),
    Fault(
        8,
        "topology deleted, rights removed",
        (
            Form(topology.the_exchange_is_deleted),
            Form(topology.the_queue_is_deleted),
            Form(topology.the_binding_is_deleted),
            Form(topology.a_policy_is_removed),
            Form(topology.the_permissions_are_removed, (3.0, 8.0)),
        ),
    ),
    Fault(
        9,
        "bad management API",
        (
            Form(management.the_api_hangs, (16.0, 20.0), stall=UNFELT_STALL, p99=UNFELT),
            Form(management.the_api_refuses, (8.0, 10.0), stall=UNFELT_STALL, p99=UNFELT),
            Form(management.the_api_talks_nonsense, (8.0, 10.0), stall=UNFELT_STALL, p99=UNFELT),
            Form(management.the_api_answers_zero, allowed=REFUSED_BY_PRESSURE),
        ),
        arrange=management.in_front_of_the_api,
        stall=A_REFUSAL,
        p99=A_START,
        gives_up=True,
    ),
    Fault(
        10,
        "kill -9 of a worker",
        (
            Form(workers.a_worker_is_killed),
            Form(workers.a_worker_is_killed_before_it_commits),
            Form(workers.a_worker_is_killed_before_it_acknowledges),
        ),
        arrange=workers.through_the_proxy,
    ),
    Fault(
        11,
        "bad database",
        (
            Form(database.the_database_is_killed),
            Form(database.there_are_too_many_connections, (3.0, 6.0)),
            Form(database.a_deadlock_is_forced),
            Form(database.statements_are_cancelled_and_locked_out),
            Form(database.the_disk_is_full, (2.0, 4.0)),
            Form(database.the_database_is_away, A_MINUTE),
        ),
        arrange=database.on_a_tight_disk,
    ),
    Fault(
        12,
        "event that kills its worker",
        (Form(workers.an_event_kills_its_worker),),
        stands=BOTH,
        arrange=workers.with_sick_handlers,
    ),
    Fault(
        13,
        "nowhere to put dead letters",
        (
            Form(topology.the_dead_letter_exchange_is_deleted, (2.0, 4.0)),
            Form(topology.the_dead_letter_queue_is_deleted, (2.0, 4.0)),
            Form(topology.the_queue_of_their_records_is_deleted, (2.0, 4.0)),
        ),
    ),
    Fault(
        14,
        "bad journal disk",
        (
            Form(journal.the_disk_is_full, allowed=REFUSED_BY_THE_JOURNAL),
            Form(journal.the_limit_is_reached, allowed=REFUSED_BY_THE_JOURNAL),
            Form(journal.a_byte_is_flipped, allowed=ANYTHING),
            Form(journal.the_end_is_cut_off, allowed=ANYTHING),
        ),
        rate=journal.RATE,
        arrange=journal.on_a_small_disk,
        stall=A_REFUSAL,
        p99=A_START,
        gives_up=True,
    ),
    Fault(
        15,
        "clock steps by an hour",
        (Form(clock.the_clock_steps, (3.0, 6.0), allowed=ANYTHING),),
        arrange=clock.with_a_false_clock,
        stall=A_START,
        p99=A_START,
    ),
    Fault(
        16,
        "same events at once",
        (Form(workers.the_same_events_come_in_reverse), Form(workers.fifty_come_at_once)),
        stands=BOTH,
    ),
    Fault(
        17,
        "stop and restart at full load",
        (
            Form(edge.everything_is_told_to_stop, AT_ONCE, allowed=ANYTHING),
            Form(edge.the_edge_is_reloaded),
            Form(edge.the_edge_is_restarted, allowed=ANSWERED_AT_LAST),
        ),
        stall=AN_OUTAGE,
        p99=AN_OUTAGE,
    ),
    Fault(
        19,
        "more than is taken away",
        (
            Form(load.senders_that_obey, allowed=REFUSED_BY_PRESSURE),
            Form(load.senders_that_do_not, allowed=REFUSED_BY_PRESSURE),
        ),
        rate=load.CALM_RATE,
        arrange=load.with_slow_workers,
        stall=AN_EPISODE,
        p99=A_START,
        gives_up=True,
    ),
    Fault(
        23,
        "descriptors exhausted",
        (Form(journal.descriptors_run_out, (3.0, 6.0), allowed=ANYTHING),),
        stall=A_START,
        p99=A_START,
    ),
    Fault(
        24,
        "strangers in the journal's home",
        (Form(strangers.strangers_live_in_its_home, (6.0, 8.0), allowed=ANSWERED_AT_LAST),),
        arrange=strangers.as_an_ordinary_user,
        stall=A_START,
        p99=A_START,
    ),
    Fault(25, "event above the broker's limit", (Form(broker.an_event_is_above_its_limit),)),
    Fault(
        26,
        "handler that raises, is slow, hangs",
        (
            Form(workers.a_handler_raises),
            Form(workers.a_handler_finds_no_row),
            Form(workers.a_handler_asks_for_a_missing_table),
            Form(workers.a_handler_is_slow),
            Form(workers.a_handler_hangs),
            Form(workers.a_handler_loops),
        ),
        arrange=workers.with_sick_handlers,
    ),
    Fault(
        27, "statement that takes a minute", (Form(database.every_claim_takes_a_minute, A_MINUTE),), rounds=1
    ),
    Fault(
        28,
        "database fails over to its standby",
        (Form(database.it_fails_over_to_its_standby),),
        stands=("standby",),
    ),
    Fault(
        29,
        "edge upgraded under load",
        (Form(edge.the_edge_is_upgraded, allowed=ANSWERED_AT_LAST),),
        stall=A_START,
        p99=A_START,
    ),
    Fault(
        30,
        "two at once",
        (Form(combined.two_at_once, (2.0, 5.0), allowed=ANYTHING),),
        stall=TWO_STARTS,
        p99=TWO_STARTS,
    ),
    *cluster.FAULTS,
    *behind.FAULTS,
    *bad_events.FAULTS,
    *destinations.FAULTS,
    *platform.FAULTS,
    Fault(
        39,
        "host behind the broker an hour ahead",
        (
            Form(
                clock.one_host_is_an_hour_ahead,
                (15.0, 20.0),
                good=Good(2.0, is_no_update, DESTINATION, MODEST_RATE),
            ),
        ),
        rounds=1,
        stands=("behind",),
    ),
)
FAULTS: Final = tuple(sorted(_FAULTS, key=lambda fault: fault.number))
