"""Each fake has the signatures and the behaviour of the real class where tests rely on them."""

import inspect

import pytest

from messaging.broker import BrokerState, Publisher, publisher
from tests.fakes.broker import FakeBroker, turn_until
from tests.fakes.clock import FakeClock
from tests.fakes.link import FakeLink
from tests.fakes.publisher import FakePublisher
from tests.unit.webhook_api.journals import PROPERTIES
from webhook_api.relay import Barrier, BrokerLink, MajorityWatch

EVENT = (PROPERTIES, b"body")
STEERING = {"change", "published", "probes", "aborted", "to_prove"}
"""Attributes that only the fakes have, for tests to control and inspect them."""


@pytest.fixture(params=[Publisher, FakePublisher])
def started(request, loop, monkeypatch):
    """Return a publisher whose broker is up, and a list of its states before each change."""
    befores = []
    if request.param is FakePublisher:
        started = FakePublisher()
        started.start(befores.append)
        started.change(BrokerState.UP)
    else:
        monkeypatch.setattr(publisher, "BrokerConnection", FakeBroker().connect)
        started = Publisher(loop, ("amqp://127.0.0.1:9/",), client_name="test")
        started.start(befores.append)
        turn_until(loop, lambda: started.state is BrokerState.UP)
    return started, befores


def test_a_publisher_reports_the_state_before_a_change_and_counts_what_it_sends(started):
    publishing, befores = started
    assert befores == [BrokerState.AWAY]
    publishing.publish([EVENT, EVENT])
    assert [publishing.flush(), publishing.flush()] == [2, 0]
    assert publishing.buffered_bytes == 0


@pytest.mark.parametrize("fake", [FakePublisher(), FakeLink()], ids=lambda fake: type(fake).__name__)
def test_a_fake_has_the_signatures_of_the_real_class(loop, tmp_path, fake):
    real = Publisher(loop, ("amqp://127.0.0.1:9/",), client_name="test")
    if isinstance(fake, FakeLink):
        watch = MajorityWatch(tmp_path, brokers=1, management_addresses=0, is_needed=False)
        real = BrokerLink(real, Barrier(), watch, None, FakeClock())
    for name in {name for name in dir(fake) if not name.startswith("_")} - STEERING:
        assert callable(getattr(real, name)) == callable(getattr(fake, name)), name
        if callable(getattr(fake, name)):
            expected, offered = (inspect.signature(getattr(one, name)).parameters for one in (real, fake))
            assert list(offered) == list(expected), name
