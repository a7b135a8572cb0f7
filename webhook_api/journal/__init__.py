"""Keep every accepted event in files of this host until it is proven to be in the broker.

`Journal` appends and discards, `Backlog` reads back; all else serves health reports and `omctl check`.
"""

from webhook_api.journal.directory import (
    STATUS_NAME,
    Segment,
    foreign_entries,
    has_owner,
    journal_directories,
    list_segments,
    sync_directory,
)
from webhook_api.journal.journal import SEGMENT_BYTES, Journal, JournalFullError
from webhook_api.journal.segments import Backlog, Damage, Entry, encode_header, read_segment
