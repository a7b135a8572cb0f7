"""Define defects in the edge, and in the code that the edge shares with the workers."""

from __future__ import annotations

from typing import Final

from tests.chaos.sabotage import LOST, STUCK, Defect

NO_ADOPTION: Final = "ProcessDirectory.adopt = lambda *_: []\n"
NOTHING_RESTORED: Final = "Republisher.restore = lambda *_: None\n"
FORGETFUL: Final = "Barrier.interrupt = lambda _self: []\n"
"""One defect is not listed here: an edge that merely assumes a majority. Load hides it, because a channel
with uncommitted events soon stops reading, so no probe is answered, and the edge drops the connection after
ten seconds. tests/integration/webhook_api/test_majority.py detects this defect with a few events."""

DEFECTS: Final = (
    Defect(
        "the dead are not adopted",
        1,
        "an edge process is killed",
        "webhook_api/journal/process_directory.py",
        NO_ADOPTION,
        STUCK,
    ),
    Defect(
        "a start takes its time",
        1,
        "the edge master is killed",
        "webhook_api/gunicorn_conf.py",
        "import time\ntime.sleep(15)\n",
        "a stall of",
    ),
    Defect(
        "what was interrupted is forgotten",
        2,
        "the broker is killed",
        "webhook_api/relay/republisher.py",
        NOTHING_RESTORED,
        STUCK,
    ),
    Defect(
        "refused while the broker is away",
        3,
        "the broker is away",
        "webhook_api/relay/relay.py",
        """
from webhook_api.journal.journal import JournalFullError
_accept = Relay.accept
def _refuse(self, properties, body):
    if not self._link.is_open:
        raise JournalFullError
    _accept(self, properties, body)
Relay.accept = _refuse
""",
        "unexpected answers.*503",
        lasts=(10.0, 12.0),
    ),
    Defect(
        "what waited for the end of an alarm is not adopted",
        5,
        "the edge is restarted during an alarm",
        "webhook_api/journal/process_directory.py",
        NO_ADOPTION,
        STUCK,
    ),
    Defect(
        "nothing is journalled",
        6,
        "the broker is frozen and killed",
        "webhook_api/journal/journal.py",
        "Journal._write = lambda *_: True\n",
        LOST,
        lasts=(2.0, 4.0),
    ),
    Defect(
        "a new connection proves what the old one carried",
        7,
        "connections are cut",
        "webhook_api/relay/proof.py",
        FORGETFUL,
        LOST,
    ),
    Defect(
        "the unrouted are dropped",
        8,
        "the binding is deleted",
        "messaging/topology.py",
        'EXCHANGES[EXCHANGE] = ("direct", {})\n',
        "events come unrouted",
    ),
    Defect(
        "the broker's own word is ignored",
        9,
        "the api answers zero",
        "webhook_api/backpressure/load_shedder.py",
        "LoadShedder.on_probe_answered = lambda *_: 1000\n",
        "senders are told 429",
    ),
    Defect(
        "dead letters are sent once",
        13,
        "the dead letter exchange is deleted",
        "messaging/topology.py",
        '_DEAD_LETTERING_QUEUE["x-dead-letter-strategy"] = "at-most-once"\n',
        "dead letters were held",
    ),
    Defect(
        "the journal has no limit",
        14,
        "the limit is reached",
        "webhook_api/journal/process_directory.py",
        "ProcessDirectory.fits = lambda *_: True\n",
        r"journalled, more than|told 503",
    ),
    Defect(
        "intervals are taken from a wall clock that is kept from going back",
        15,
        "the clock steps",
        "messaging/clock.py",
        """
def _forward(_self):
    _forward.latest = max(_forward.latest, time.time())
    return _forward.latest
_forward.latest = 0.0
SystemClock.monotonic = _forward
""",
        f"{STUCK}|edge has the broker",
    ),
    Defect(
        "what is on its way is not waited for",
        17,
        "the edge is restarted",
        "webhook_api/http/server.py",
        """
def _turn_away(self):
    for connection in list(self._connections.open):
        connection.pause_writing()
        self._loop.call_later(1.0, connection.abort)
HttpServer.finish = _turn_away
""",
        "unexpected answers",
    ),
    Defect(
        "only the first address is known",
        18,
        "one node is killed then another",
        "messaging/broker/addresses.py",
        """
_parameters_of = parameters_of
def parameters_of(urls, **names):
    return _parameters_of(urls[:1], **names)
""",
        "the edge has the broker",
        stand="cluster",
    ),
    Defect(
        "what no majority took is not sent again",
        20,
        "followers are frozen and the leader killed",
        "webhook_api/relay/proof.py",
        FORGETFUL,
        LOST,
        stand="cluster",
    ),
    Defect(
        "what waited for a majority is forgotten",
        21,
        "the majority is away for minutes",
        "webhook_api/relay/republisher.py",
        NOTHING_RESTORED,
        STUCK,
        stand="cluster",
        lasts=(15.0, 20.0),
    ),
    Defect(
        "what a leader cut off took is not sent again",
        22,
        "the leader is cut off",
        "webhook_api/relay/proof.py",
        FORGETFUL,
        LOST,
        stand="cluster",
    ),
    Defect(
        "without descriptors the process ends",
        23,
        "descriptors run out",
        "webhook_api/http/server.py",
        """
_tell = HttpServer._log_exhausted
def _end(*told):
    _tell(*told)
    raise SystemExit(1)
HttpServer._log_exhausted = _end
""",
        "edge process died",
    ),
    Defect(
        "a stranger stops the edge",
        24,
        "strangers live in its home",
        "webhook_api/journal/process_directory.py",
        """
_adopt = ProcessDirectory.adopt
def _flinch(self):
    taken = _adopt(self)
    if self.problems:
        raise SystemExit(1)
    return taken
ProcessDirectory.adopt = _flinch
""",
        "edge process died|edge has the broker",
    ),
    Defect(
        "an oversized event is sent again and again",
        25,
        "an event is above its limit",
        "webhook_api/relay/oversized.py",
        "Oversized.keep = lambda *_: False\n",
        "the event is set aside",
    ),
    Defect(
        "what the old version left is not adopted",
        29,
        "the edge is upgraded",
        "webhook_api/journal/process_directory.py",
        NO_ADOPTION,
        STUCK,
    ),
    Defect(
        "no request is refused",
        19,
        "senders that do not",
        "webhook_api/backpressure/load_shedder.py",
        "LoadShedder._change = lambda *_: None\n",
        "senders are told 429",
    ),
)
