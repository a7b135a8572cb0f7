"""Detect code that has become several times as expensive, by comparing CPU times within one run.

A busy machine makes both sides of such a ratio more expensive, so the ratio stays stable even though rates
and latencies do not. The bounds are twice the usual ratios. `make bench` measures the ratios more precisely.
"""

from dataclasses import replace

import pytest

from tests.benchmarks.ingest import load_receiver
from tests.benchmarks.intake import POSTGRESQL, Trial, work_off
from tests.benchmarks.plan import QUICK
from tests.benchmarks.results import Figure
from tests.benchmarks.rig import running_rig
from tests.benchmarks.running import edge, under_gunicorn
from tests.servers import require_postgresql, require_rabbitmq

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

EDGE_CPU_VS_NOOP = 0.32
WORKER_CPU_VS_BARE = 3.0
SHORT = replace(QUICK, requests=80_000, ingest_seconds=2.0)
EVENTS = 6_000


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    require_rabbitmq()
    require_postgresql()
    with running_rig(SHORT, tmp_path_factory.mktemp("bench"), "5a") as rig:
        yield rig


@pytest.fixture
def results(rig):
    yield rig.results
    # A figure is invalid if the receiver kept fewer events than it answered, or left events unprocessed.
    assert [check.claim for check in rig.results.checks if not check.holds] == []


def ratio(results, above, below):
    (value,) = results.ratios(Figure(*above.split()), Figure(*below.split()))
    return value


def test_the_edge_uses_only_a_fraction_of_the_cpu_time_of_a_flask_view_that_does_nothing(rig, results):
    with under_gunicorn(rig, "in_flask:noop") as server:
        load_receiver(rig, "noop", server, SHORT.ingest_seconds)
    with edge(rig) as server:
        load_receiver(rig, "service", server, SHORT.ingest_seconds)
    cpu = ratio(results, "ingest service receiver_cpu_us", "ingest noop receiver_cpu_us")
    assert cpu <= EDGE_CPU_VS_NOOP


def test_a_worker_uses_only_a_small_multiple_of_the_cpu_time_of_a_bare_insert(rig, results):
    bodies = rig.requests.bodies(EVENTS)
    work_off(rig, Trial(POSTGRESQL, "bare", rig.fresh_database()), bodies)
    work_off(rig, Trial(POSTGRESQL, "service", rig.fresh_database()), bodies)
    cpu = ratio(results, f"{POSTGRESQL} service worker_cpu_us", f"{POSTGRESQL} bare worker_cpu_us")
    assert cpu <= WORKER_CPU_VS_BARE
