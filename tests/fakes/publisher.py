"""Provide a fake publisher, which needs no broker."""

from messaging.broker import NO_LIMIT, BrokerState


class FakePublisher:
    """A publisher that keeps its events and probes. The test sets its state and answers its probes."""

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

    def abort(self, reason, size_limit=NO_LIMIT):
        self.aborted.append(reason)
        self.size_limit = size_limit
