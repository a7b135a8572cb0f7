"""How the scaler starts and stops workers, in a fleet that is only numbers."""

from dataclasses import dataclass, field

from structlog.testing import capture_logs

from workers.scale import FleetLimits, Scaler


@dataclass
class FleetInMemory:
    numbers: set[int] = field(default_factory=set)

    def running(self):
        return set(self.numbers)

    def start(self, number):
        self.numbers.add(number)

    def stop(self, number):
        self.numbers.remove(number)


def test_the_lowest_free_numbers_are_started_and_the_highest_stopped():
    depths, fleet = [3500], FleetInMemory({1, 3})
    scaler = Scaler("intake", FleetLimits(1, 4, 1000, cooldown=0.0), lambda: depths[-1], fleet)

    scaler.scale()
    assert fleet.numbers == {1, 2, 3, 4}

    depths.append(0)
    for _ in range(5):
        scaler.scale()
    assert fleet.numbers == {1}


def test_after_a_change_the_cool_down_begins_anew():
    fleet = FleetInMemory({1, 2, 3})
    scaler = Scaler("intake", FleetLimits(1, 4, 1000, cooldown=3600.0), lambda: 0, fleet)

    for _ in range(5):
        scaler.scale()
    assert fleet.numbers == {1, 2, 3}


def test_a_look_that_changes_nothing_is_logged_once():
    depths, fleet = [0], FleetInMemory({1})
    scaler = Scaler("intake", FleetLimits(1, 4, 1000, cooldown=3600.0), lambda: depths[-1], fleet)

    with capture_logs() as lines:
        for depth in (0, 0, 10, 10, 5000, 0):
            depths.append(depth)
            scaler.scale()
    assert [line["depth"] for line in lines] == [0, 10, 5000, 0]
