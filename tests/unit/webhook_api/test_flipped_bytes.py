"""A flipped byte in a journal segment costs the event that it is in, and no event is published wrong."""

import random
from bisect import bisect_right

from tests.unit.webhook_api.journals import journal_in, keep
from webhook_api.journal import Damage, Entry, read_segment

FLIPS = 10_000
EVENTS = [
    (b"p" * (number % 7), b'{"number":%d,"text":"%s"}' % (number, b"x" * (number * 5 % 90)))
    for number in range(40)
]
# Text whose bytes hold the mark of a record's start.
EVENTS.insert(20, (b"p", '{"text":"\u0249OMJ"}'.encode()))


def test_of_ten_thousand_flipped_bytes_each_is_noticed_and_every_other_event_is_recovered(tmp_path):
    journal = journal_in(tmp_path / "journal")
    path = journal.active.path
    starts = [0]
    for properties, body in EVENTS:
        keep(journal, body, properties)
        starts.append(path.stat().st_size)
    intact = path.read_bytes()
    entries = [Entry(*event) for event in EVENTS]
    assert list(read_segment(path)) == entries

    choose = random.Random(26)
    for _ in range(FLIPS):
        offset = choose.randrange(len(intact))
        damaged = bytearray(intact)
        damaged[offset] ^= choose.randrange(1, 256)
        path.write_bytes(damaged)
        hit = bisect_right(starts, offset) - 1
        damage = Damage(starts[hit], starts[hit + 1] - starts[hit])
        assert list(read_segment(path)) == [*entries[:hit], damage, *entries[hit + 1 :]], offset
