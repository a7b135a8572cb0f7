"""Fakes of the edge's collaborators, moved by the tests."""

from messaging.broker import NO_LIMIT, BrokerState


class FakeClock:
    """A clock that the test moves."""

    def __init__(self, seconds=100.0):
        self.seconds = seconds

    def now_us(self):
        return round(self.seconds * 1_000_000)

    def monotonic(self):
        return self.seconds


class FakePublisher:
    """Keeps what is published and probed; the test changes its state and answers."""

    buffered_bytes = 0
    size_limit = NO_LIMIT
    node = last_tag = 0

    def __init__(self):
        self.state = BrokerState.AWAY
        self.published = []
        self.probes = []
        self.aborted = []
        self._unsent = 0

    def start(self, on_change):
        self._on_change = on_change

    def stop(self):
        self.state = BrokerState.AWAY

    def change(self, state):
        before, self.state = self.state, state
        self._on_change(before)

    def publish(self, events):
        self.published += [body for _, body in events]
        self._unsent += len(events)

    def flush(self):
        unsent, self._unsent = self._unsent, 0
        return unsent

    def probe(self, callback):
        self.probes.append(callback)

    def abort(self, reason):
        self.aborted.append(reason)
