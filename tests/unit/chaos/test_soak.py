"""The soak's own judgement: what grows, and what is left behind, fails it."""

import random
from types import SimpleNamespace

import psutil
import pytest

from tests.chaos import sparing
from tests.chaos.soak import STRIKES, Life, Watch, is_good, line_of, load_of, own_descriptors

CLEAN = {
    "minutes": 60,
    "rate": 3000,
    "events": 10_000_000,
    "strikes": 61,
    "lost": 0,
    "repeated": 0,
    "memory_growth": 1.02,
    "descriptor_growth": 3,
    "watched": 9,
    "longest_life_minutes": 60,
    "complaint": "",
}


def test_growth_is_that_of_the_process_that_grew_most_since_it_had_settled():
    watch = Watch(
        {
            1: Life(0.0, seen=600.0, settled=(100, 20), latest=(110, 20)),
            2: Life(0.0, settled=(100, 20), latest=(150, 27)),
            3: Life(0.0, settled=None, latest=(900, 900)),
        }
    )
    assert watch.memory_growth == pytest.approx(1.5)
    assert watch.descriptor_growth == 7
    assert watch.watched == 2
    assert watch.longest_life == pytest.approx(10.0)


def test_the_connections_of_living_clients_are_no_growth():
    living, left = psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT
    connections = [(8080, living), (8080, living), (8080, left), (40000, living)]
    process = SimpleNamespace(
        num_fds=lambda: 20,
        net_connections=lambda _kind: [
            SimpleNamespace(laddr=SimpleNamespace(port=port), status=status) for port, status in connections
        ],
    )
    assert own_descriptors(process, 8080) == 18


@pytest.mark.parametrize(
    "worse",
    [
        {"lost": 1},
        {"repeated": 1},
        {"complaint": "x"},
        {"memory_growth": 1.4},
        {"descriptor_growth": 60},
        {"watched": 0},
        {"events": 9_000_000},
        {"longest_life_minutes": 29},
        {"strikes": 20},
    ],
    ids=str,
)
def test_an_hour_is_good_only_when_nothing_is_lost_repeated_or_left_behind(worse):
    assert is_good(CLEAN)
    assert not is_good(CLEAN | worse)


def test_the_last_line_is_that_of_the_page():
    assert line_of(CLEAN).startswith("soak: events=10000000 strikes=61 lost=0 repeated=0 memory_growth=1.02")


def test_how_heavy_the_load_was_is_kept_whether_its_rate_was_told_or_not():
    assert load_of(3000.0, 5000.4, is_told=True) == {
        "rate": 3000,
        "capacity": 5000,
        "share": 0.6,
        "is_rate_told": True,
    }


def test_the_first_worker_lives_through_the_whole_soak(monkeypatch):
    """Only so is its memory seen over more than some minutes."""
    killed = []
    monkeypatch.setattr(sparing, "kill", lambda _scene, workers: killed.extend(workers))
    scene = SimpleNamespace(stand=SimpleNamespace(workers=["first", "second"]), chance=random.Random(1))
    (form,) = (form for form in STRIKES if form.name == "a worker is killed")
    for _ in range(20):
        with form.strike(scene):
            pass
    assert killed == ["second"] * 20
