"""Provide a fake link, which needs no broker."""

from messaging.broker import NO_LIMIT


class FakeLink:
    """A link that records the published bodies, and the segments that it is asked to prove.

    Args:
        happened: A list to which the link adds each published body as text, and "sent" for each flush.
        is_open: Whether the broker is up.
        size_limit: The size of the largest body that the broker accepts.
    """

    buffered_bytes = 0
    unproven = ()
    majority_age = None

    def __init__(self, happened=None, *, is_open=True, size_limit=NO_LIMIT):
        self.published, self.to_prove = [], []
        self.is_open, self.size_limit = is_open, size_limit
        self.state = "up" if is_open else "away"
        self._happened = [] if happened is None else happened

    def publish(self, events):
        bodies = [body for _, body in events]
        self.published += bodies
        self._happened += [body.decode() for body in bodies]

    def flush(self):
        if self.is_open:
            self._happened.append("sent")

    def prove(self, segment):
        self.to_prove.append(segment)
