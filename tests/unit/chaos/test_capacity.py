"""How much a stand is struck under: by the best that its kind has shown, and by what it can do now."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.chaos import capacity as module
from tests.chaos import plugin
from tests.chaos.capacity import Capacity


@pytest.fixture
def show(monkeypatch):
    """Let measurements show these one after the other; return how many were taken, and under what names."""

    def show(capacity, *events):
        left, names = list(events), []

        def measured(_stand, name):
            names.append(name)
            return left.pop(0)

        monkeypatch.setattr(module, "measured_capacity", measured)
        capacity.look(None)
        return names

    return show


@pytest.mark.parametrize(
    ("best", "shown", "taken"),
    [
        (0, (1000, 1200, 9), 2),
        (0, (400, 1000, 9), 3),
        (0, (400, 1000, 500), 3),
        (2000, (1000, 9, 9), 1),
        (2000, (900, 1000, 9), 2),
        (2000, (400, 600, 2000), 3),
    ],
)
def test_one_look_is_enough_that_shows_half_of_the_best_and_otherwise_two_agree_or_three_are_taken(
    show, best, shown, taken
):
    capacity = Capacity(best=best)
    assert len(show(capacity, *shown)) == taken
    assert capacity.lately == max(shown[:taken])
    assert capacity.best == max(best, *shown[:taken])


def test_it_is_struck_at_half_of_the_best_and_at_no_more_than_three_quarters_of_what_is_carried_now():
    assert Capacity(best=2000, lately=1500).rate == 1000
    assert Capacity(best=2000, lately=600).rate == 450


def test_no_two_loads_have_one_name(show):
    capacity = Capacity()
    assert show(capacity, 1000, 1000) + show(capacity, 1000) == ["capacity-1", "capacity-2", "capacity-3"]


def test_what_a_kind_of_stand_has_shown_outlives_the_stand(monkeypatch, tmp_path):
    @contextmanager
    def running_stand(_kind, directory):
        yield SimpleNamespace(directory=directory, capacity=Capacity())

    monkeypatch.setattr(plugin, "running_stand", running_stand)
    monkeypatch.setattr(plugin.tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
    stands = plugin.Stands()
    stands.of("postgresql").capacity.best = 2000
    stands.of("sqlite").capacity.best = 1000
    assert stands.of("postgresql").capacity.best == 2000
    stands.close()
    assert stands.of("postgresql").capacity.best == 2000
    stands.close()
