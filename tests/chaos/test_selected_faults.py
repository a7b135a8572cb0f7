"""A short selection of the chaos suite for every test run; `make chaos` has all of it."""

import secrets
from dataclasses import replace

import pytest

from tests.chaos.faults import FAULTS, broker, edge, workers
from tests.chaos.run import run_fault
from tests.chaos.stand import Stand
from tests.servers import require_postgresql, require_rabbitmq

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    require_rabbitmq()
    require_postgresql()
    stand = Stand(tmp_path_factory.mktemp("chaos"))
    try:
        stand.start()
        yield stand
    finally:
        stand.stop()


@pytest.mark.parametrize(
    ("number", "strike"),
    [
        (1, edge.the_edge_is_killed_while_the_broker_is_away),
        (2, broker.the_broker_is_killed),
        (5, broker.the_edge_is_restarted_during_an_alarm),
        (10, workers.a_worker_is_killed_before_it_acknowledges),
        (16, workers.fifty_come_at_once),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_nothing_is_lost_and_nothing_repeated_when(stand, number, strike):
    fault = replace(FAULTS[number], strikes=(strike,), rounds=1, rate=400)
    result = run_fault(stand, fault, secrets.randbits(32), print)
    assert result.is_good, result
