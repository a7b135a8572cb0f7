"""One probe at a time; one that stays without an answer ends the connection."""

import pytest

from webhook_api.relay.prober import Prober

PATIENCE = 10.0


class AskedPublisher:
    """A publisher that keeps the probes it is given; the test answers them."""

    def __init__(self):
        self.probes = []
        self.aborted = []

    def probe(self, callback):
        self.probes.append(callback)

    def abort(self, reason):
        self.aborted.append(reason)


@pytest.fixture
def publisher():
    return AskedPublisher()


@pytest.fixture
def answers():
    return []


@pytest.fixture
def prober(publisher, answers):
    return Prober(publisher, lambda: None, answers.append)


def test_the_next_probe_goes_out_when_the_last_is_answered(prober, publisher, answers):
    prober.probe(100.0, PATIENCE)
    prober.probe(100.5, PATIENCE)
    assert len(publisher.probes) == 1

    publisher.probes[0](7)
    prober.probe(101.0, PATIENCE)

    assert answers == [7]
    assert len(publisher.probes) == 2


def test_a_probe_without_an_answer_ends_the_connection_after_the_patience(prober, publisher):
    prober.probe(100.0, PATIENCE)
    prober.probe(100.0 + PATIENCE, PATIENCE)
    assert publisher.aborted == []

    prober.probe(100.1 + PATIENCE, PATIENCE)

    assert publisher.aborted == ["no answer to a probe"]


def test_an_answer_of_an_earlier_connection_is_not_heard(prober, publisher, answers):
    prober.probe(100.0, PATIENCE)
    prober.forget()
    publisher.probes[0](7)
    prober.probe(100.5, PATIENCE)
    publisher.probes[0](8)

    assert answers == []
    publisher.probes[1](9)
    assert answers == [9]


def test_time_in_which_the_broker_did_not_read_does_not_count(prober, publisher):
    prober.probe(100.0, PATIENCE)
    prober.resume(200.0)
    prober.probe(200.0 + PATIENCE, PATIENCE)

    assert publisher.aborted == []
