"""Keep every accepted event in files of this host until it is proven to be in the broker.

`Journal` appends and lets go, `WaitingSegments` reads back. The rest is for those who look at a journal from
outside: health reports and `omctl check`.
"""

from webhook_api.journal.directory import (
    STATUS_NAME,
    Segment,
    foreign_entries,
    has_owner,
    journal_directories,
    segments_in,
)
from webhook_api.journal.journal import SEGMENT_BYTES, Journal, JournalFullError
from webhook_api.journal.limit import HostLimit
from webhook_api.journal.segment_file import Damage, Entry, read_segment, record_header
from webhook_api.journal.waiting import WaitingSegments

__all__ = [
    "SEGMENT_BYTES",
    "STATUS_NAME",
    "Damage",
    "Entry",
    "HostLimit",
    "Journal",
    "JournalFullError",
    "Segment",
    "WaitingSegments",
    "foreign_entries",
    "has_owner",
    "journal_directories",
    "read_segment",
    "record_header",
    "segments_in",
]
