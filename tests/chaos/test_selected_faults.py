"""Run one fault of each family, and check that a defect is caught.

`make chaos` runs every fault, and `make chaos-sabotage` every defect.
"""

import secrets
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.chaos.bounds import UNFELT_STALL
from tests.chaos.broker_view import EVENTS, UNKNOWN
from tests.chaos.defects import DEFECTS
from tests.chaos.every_sabotage import result_on
from tests.chaos.faults import (
    broker,
    database,
    edge,
    journal,
    network,
    topology,
    workers,
)
from tests.chaos.oracle import Oracle
from tests.chaos.run import Plan, drain, run_fault, scene_of
from tests.chaos.sabotage import sabotaged_copy
from tests.chaos.scene import ANYTHING, Fault, Form
from tests.chaos.stand import running_stand
from tests.servers import require_postgresql, require_rabbitmq
from tests.stand.product import SOURCES
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(500)]

SHORT = (0.5, 1.0)
RATE = 100.0
"""Events per second."""
DEFECT_RATE = 250.0
"""Enough for a defect to lose events in every strike, even if other tests keep the processors busy."""
DEFECT = "nothing is journalled"


@contextmanager
def proxies_in_the_way(stand):
    """Put both proxies into the path of traffic, because the forms below need them."""
    stand.edge.reconfigure(OM_AMQP_URL=stand.edge_proxy.url(stand.broker.amqp_url))
    stand.reconfigure_workers(OM_AMQP_URL=stand.worker_proxy.url(stand.broker.amqp_url))
    yield


EACH_FAMILY = Fault(
    0,
    "each family once",
    (
        Form(edge.an_edge_process_is_killed, SHORT, allowed=ANYTHING),
        Form(broker.the_broker_is_frozen_and_killed, SHORT, stall=UNFELT_STALL),
        Form(network.bytes_are_swallowed, SHORT, stall=UNFELT_STALL),
        Form(topology.the_exchange_is_deleted, SHORT, stall=UNFELT_STALL),
        Form(database.the_database_is_killed, SHORT, stall=UNFELT_STALL),
        Form(workers.a_worker_is_killed_before_it_acknowledges, SHORT, stall=UNFELT_STALL),
        Form(journal.descriptors_run_out, SHORT, allowed=ANYTHING),
    ),
    rounds=1,
    stall=15.0,
    p99=15.0,
    arrange=proxies_in_the_way,
)


@pytest.fixture
def plan():
    seed = secrets.randbits(32)
    print(f"seed {seed:x}")
    return Plan(seed, retry_seconds=1.0, rate=RATE)


@pytest.fixture(scope="module")
def any_stand(tmp_path_factory):
    """Run a stand. It keeps running the copy of the product that the last test started."""
    require_rabbitmq()
    require_postgresql()
    with running_stand("postgresql", tmp_path_factory.mktemp("stand")) as running:
        yield running


@pytest.fixture
def stand(any_stand):
    """A stand with the intact product, which is restarted only after a test with a defect."""
    if any_stand.product.sources != SOURCES:
        any_stand.serve(SOURCES)
    return any_stand


def test_no_event_is_lost_or_repeated_during_one_fault_of_each_family(stand, plan):
    result = run_fault(stand, EACH_FAMILY, plan)
    assert result.is_good, result


def test_a_faults_check_fails_on_a_product_with_a_known_defect(any_stand, plan, tmp_path):
    defect = next(defect for defect in DEFECTS if defect.name == DEFECT)
    any_stand.serve(sabotaged_copy(defect, tmp_path / "product"))
    result = result_on(any_stand, defect, replace(plan, rate=DEFECT_RATE))
    assert defect.is_shown_by(result), result


def test_events_that_wait_in_the_queue_are_not_counted_as_lost(stand, plan):
    for worker in stand.workers:
        worker.stop()
    scene = scene_of(stand, "waiting", plan, rate=50.0)
    wait_until(lambda: len(scene.load.answered) > 100, 60, "events are answered")
    scene.load.stop()
    scene.ledger.note_answered(map(scene.traffic.body, scene.load.answered))
    oracle = Oracle(stand, scene.traffic.run, scene.ledger)
    wait_until(lambda: not stand.journals.segments(), 60, "all of them are in the queue alone")
    verdict = oracle.verdict()
    assert verdict.lost == 0
    assert f"did not drain: {len(scene.ledger.owed)} events" in verdict.complaint
    drain(oracle, 60)
    assert oracle.verdict().is_clean
    scene.close()


def test_the_depth_is_unknown_if_no_leader_reports_it(stand):
    stand.broker.freeze()
    try:
        assert stand.view.depth(EVENTS) == UNKNOWN
    finally:
        stand.broker.resume()
