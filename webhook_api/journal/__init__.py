"""Keep every accepted event in files on this host until the broker is proven to have it.

`Journal` appends events, and `Backlog` reads them back. Health reports and `omctl check` use the other names.
"""

from webhook_api.journal.directory import (
    STATUS_NAME,
    Segment,
    foreign_entries,
    has_owner,
    journal_directories,
    list_segments,
    replace_file,
    sync_directory,
)
from webhook_api.journal.journal import SEGMENT_BYTES, Journal, JournalFullError
from webhook_api.journal.segments import Backlog, Damage, Entry, encode_header, read_segment
