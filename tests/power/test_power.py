"""Test that a power cut loses no flushed data, and that the kernel's write-back limits other losses."""

import os

import pytest
from sqlalchemy.exc import DBAPIError

from deploy.local.process import ServerStartError
from tests.power.__main__ import judge
from tests.power.broker import BrokerCut, cut_broker
from tests.power.cut import Cut, cut_power
from tests.power.database import cut_database
from tests.power.disk import is_possible

needs_devices = pytest.mark.skipif(
    not is_possible() or os.geteuid() != 0, reason="needs root and loop devices"
)


@needs_devices
def test_a_power_cut_loses_no_event_with_fsync_and_at_most_the_last_second_without_fsync(tmp_path):
    flushed = cut_power(tmp_path / "flushed", 1.0, fsync=True)
    assert flushed.answered
    assert flushed.lost == 0

    unflushed = cut_power(tmp_path / "unflushed", 1.0, fsync=False)
    assert unflushed.lost > unflushed.answered / 2, "the cut cuts"


@needs_devices
def test_no_event_is_lost_or_repeated_when_the_power_of_postgresql_is_cut(tmp_path, rabbitmq):
    with rabbitmq.make_vhost() as vhost:
        cut = cut_database(tmp_path / "durable", vhost.amqp_url, 2.0)
    assert cut.kept
    assert (cut.lost, cut.torn) == (0, 0)

    # The cut must have an effect: data that PostgreSQL did not flush is missing from its files or tables.
    with rabbitmq.make_vhost() as vhost, pytest.raises((ServerStartError, DBAPIError)):
        cut_database(tmp_path / "not-durable", vhost.amqp_url, 2.0, durable=False)
    assert (tmp_path / "not-durable" / "disk-after").exists()


@needs_devices
def test_no_answered_event_is_lost_when_the_power_of_the_broker_is_cut(tmp_path, rabbitmq):
    cut = cut_broker(tmp_path / "cut", 1.0)
    assert cut.taken, "the cut cuts"
    assert cut.lost == 0


@pytest.mark.parametrize(
    ("flushed", "others", "brokers", "is_good"),
    [
        ([Cut(5, 0, 0.0)], [Cut(5, 3, 30.0)], [BrokerCut(5, 2, 0)], True),
        ([Cut(5, 1, 0.1)], [Cut(5, 3, 30.0)], [], False),
        ([Cut(5, 0, 0.0)], [Cut(5, 3, 40.0)], [], False),
        ([Cut(0, 0, 0.0)], [], [], False),
        ([Cut(5, 0, 0.0)], [], [BrokerCut(5, 2, 1)], False),
        ([Cut(5, 0, 0.0)], [], [BrokerCut(5, 0, 0)], False),
    ],
    ids=[
        "good",
        "a flushed event is lost",
        "older events are lost than the kernel keeps",
        "no event",
        "an event is lost with the broker",
        "no cut takes anything from the broker",
    ],
)
def test_a_run_passes_only_if_its_losses_are_within_the_guarantees(flushed, others, brokers, is_good):
    assert judge(flushed, others, brokers)[1] is is_good
