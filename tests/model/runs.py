"""Define runs of edge processes by hand: some that the model allows, and some that it forbids."""


def steps_of(process, *steps):
    """Return part of a run: steps of one process, each given as its kind and its fields."""
    return [(process, {"step": kind, **fields}) for kind, fields in steps]


def connect(process="a", **fields):
    settings = {"at": 0.0, "members": 1, "address": None, "confirms": False, **fields}
    return steps_of(process, ("interrupt", {"segments": []}), ("connect", settings))


def report(at, *, majority=True):
    fields = {"at": at, "address": 0, "members": 3, "majority": majority, "leader": True}
    return steps_of("a", ("report", fields))


def probe(at, sent, channel=1):
    return steps_of("a", ("probe", {"at": at, "channel": channel, "sent": sent}))


def answer(at):
    return steps_of("a", ("answer", {"at": at}))


def publish(*events, channel=1):
    return steps_of("a", ("publish", {"events": [*events], "channel": channel}))


def read(*events, segments=()):
    return steps_of("a", ("read", {"events": [*events], "segments": [*segments]}))


WRITTEN = steps_of(
    "a",
    ("hold", {"directory": "a"}),
    ("write", {"segment": "a/1", "events": [7, 8]}),
    ("respond", {"events": 2}),
)
CLOSED = [*WRITTEN, *steps_of("a", ("close", {"segment": "a/1", "events": 2}))]
PROVE = steps_of("a", ("prove", {"segment": "a/1"}))
UNLINK = steps_of("a", ("unlink", {"segment": "a/1"}))
REST = [*read(8, segments=["a/1"]), *publish(8), *PROVE]
LATER = [*probe(1.0, 2), *answer(1.1), *probe(7.0, 2), *answer(7.1), *UNLINK]
BACKLOG = [*CLOSED, *connect(), *probe(0.5, 0), *read(7), *publish(7), *answer(0.6), *REST, *LATER]
"""A run that publishes a segment of two events from the backlog, and proves it."""

ADOPT = steps_of("b", ("hold", {"directory": "b"}), ("adopt", {"segments": [["a/1", "b/2"]]}))
ADOPTED = [*WRITTEN, *ADOPT[:1], *connect("b"), *ADOPT[1:], *connect("b")[:1]]
STOPPED = [*WRITTEN, *connect(), *steps_of("a", ("stop", {}), ("release", {}))]
HOLD = steps_of("a", ("hold", {"directory": "c"}))
ADOPT_OWN = steps_of("a", ("adopt", {"segments": [["a/1", "c/2"]]}))
LATE = steps_of("a", ("write", {"segment": "c/1", "events": [9]}), ("respond", {"events": 1}))
ADOPT_AGAIN = steps_of(
    "b", ("hold", {"directory": "b"}), ("adopt", {"segments": [["c/1", "b/2"], ["c/2", "b/3"]]})
)
HELD_AGAIN = [*STOPPED, *HOLD, *ADOPT_OWN, *LATE, *ADOPT_AGAIN]
"""A run in which a process holds a new directory after a release, and another process adopts its segments."""

ON_A_CLUSTER = [*CLOSED, *connect(members=3), *report(0.1)]
CONFIRMED = [*CLOSED, *connect(confirms=True), *read(7), *publish(7), *REST]
CONFIRM = steps_of("a", ("confirm", {"tag": 2, "multiple": True}))
ANSWERED = [*probe(1.0, 2), *answer(1.1)]

ALLOWED = {
    "a segment is published in slices": BACKLOG,
    "a dead process's segment is adopted": [*WRITTEN, *ADOPT],
    "a released segment is adopted": [*WRITTEN, *steps_of("a", ("stop", {}), ("release", {})), *ADOPT],
    "a directory is held after the release": HELD_AGAIN,
    "a released segment is adopted after its process holds another directory": [*STOPPED, *HOLD, *ADOPT],
    "a process takes its released directory back": [
        *[*STOPPED, *steps_of("a", ("hold", {"directory": "a"}))],
        *steps_of("a", ("adopt", {"segments": [["a/1", "a/1"]]})),
    ],
    "a cluster with a reported majority": [
        *[*ON_A_CLUSTER, *read(7), *publish(7), *REST, *ANSWERED],
        *[*report(6.5), *probe(7.0, 2), *answer(7.1), *UNLINK],
    ],
    "a confirmed segment": [*CONFIRMED, *CONFIRM, *ANSWERED, *UNLINK],
}
FORBIDDEN = {
    "a live process's segment is adopted": [*WRITTEN, *ADOPT, *connect()],
    "a segment is adopted twice": [*WRITTEN, *ADOPT, *ADOPT[1:]],
    "a process adopts its own segment before the release": [*WRITTEN, *HOLD, *ADOPT_OWN],
    "a process without a directory adopts": [*STOPPED, *ADOPT_OWN],
    "a process whose second directory is adopted takes a later step": [*HELD_AGAIN, *LATE],
    "a released segment is read": [*CLOSED, *STOPPED[len(WRITTEN) :], *HOLD, *read(7)],
    "a released segment grows": [
        *[*STOPPED, *HOLD],
        *steps_of("a", ("write", {"segment": "a/1", "events": [9]})),
    ],
    "a segment is opened in a released directory": [
        *[*STOPPED, *HOLD],
        *steps_of("a", ("write", {"segment": "a/2", "events": [9]})),
    ],
    "two processes adopt a released segment": [*STOPPED, *HOLD, *ADOPT_OWN, *ADOPT, *LATE],
    "a connection after the release": [*STOPPED, *HOLD, *connect()],
    "a directory is held before the release": [*STOPPED[:-1], *HOLD, *STOPPED[-1:]],
    "a release before the end of publishing": [*WRITTEN, *steps_of("a", ("release", {}))],
    "a directory that no process held": ADOPT,
    "another process's directory": [*WRITTEN, ("b", WRITTEN[1][1] | {"segment": "a/2"})],
    "publish without a connection": [*CLOSED, *read(7), *publish(7)],
    "publish after the connection is lost": [
        *[*CLOSED, *connect(), *read(7)],
        *[*steps_of("a", ("interrupt", {"segments": []})), *publish(7)],
    ],
    "publish after the end of publishing": [
        *CLOSED,
        *connect(),
        *read(7),
        *steps_of("a", ("stop", {})),
        *publish(7),
    ],
    "probe without a connection": [*CLOSED, *probe(0.5, 0)],
    "probe over another channel": [*CLOSED, *connect(), *read(7), *publish(7), *probe(0.5, 1, channel=2)],
    "probe over the channel of the connection before": [
        *[*CLOSED, *connect(), *probe(0.5, 0), *steps_of("a", ("interrupt", {"segments": []}))],
        *[*connect(), *probe(0.9, 0)],
    ],
    "probe before the events": [*CLOSED, *connect(), *read(7), *publish(7), *probe(0.5, 0)],
    "one event twice and another never": [*CLOSED, *connect(), *read(7), *publish(7), *read(8), *publish(7)],
    "no report of a majority": [*CLOSED, *connect(members=3), *read(7), *publish(7)],
    "publish after a report without a majority": [
        *[*ON_A_CLUSTER, *report(0.2, majority=False), *read(7), *publish(7)],
    ],
    "the connection is kept without a majority": [
        *[*ON_A_CLUSTER, *read(7), *publish(7), *report(0.2, majority=False), *report(0.3)],
    ],
    "the majority was asked for before the grace period": [
        *[*ON_A_CLUSTER, *read(7), *publish(7), *REST, *ANSWERED],
        *[*report(6.0), *probe(7.0, 2), *answer(7.1), *UNLINK],
    ],
    "a report from before the connection": [
        *CLOSED,
        *connect(members=3, at=1.0),
        *report(0.9),
        *read(7),
        *publish(7),
    ],
    "a report of another node": [
        *CLOSED,
        *connect(members=3, address=1),
        *report(0.1),
        *read(7),
        *publish(7),
    ],
    "not confirmed": [*CONFIRMED, *ANSWERED, *UNLINK],
    "confirmed in part": [
        *[*CONFIRMED, *steps_of("a", ("confirm", {"tag": 2, "multiple": False})), *ANSWERED, *UNLINK],
    ],
}
