"""Make and fill journals for processes of one host."""

import errno
import os

from messaging.envelope import WEBHOOK, encode_properties
from webhook_api.journal import Journal, JournalFullError

PROPERTIES = encode_properties("message-1", 1_700_000_000_000_000, "request-1", WEBHOOK)
NOW_US = 1_732_462_000_000_000
LIMIT = 10_000_000


def journal_in(root, *, max_bytes=LIMIT, processes=1, fsync=False):
    return Journal(root, max_bytes, processes, fsync=fsync, now_us=NOW_US)


def keep(journal, body, properties=b"p"):
    journal.append(properties, body)
    if not journal.write():
        raise JournalFullError


def close_segment(journal, *bodies):
    """Keep *bodies*, and close and return their segment."""
    for body in bodies:
        keep(journal, body)
    return journal.rotate(NOW_US)


def fail(*_arguments, **_options):
    """Fail as a system call does on a broken disk."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def die(journal):
    """Close only the descriptors, as the kernel does when a process dies."""
    os.close(journal._own._lock)
    journal._close_segment()
    journal._own.path = None


def left_by_a_dead_process(root, bodies, properties=b"p"):
    """Return the journal directory of a process that kept *bodies* and died."""
    journal = journal_in(root)
    for body in bodies:
        keep(journal, body, properties)
    directory = journal.directory
    die(journal)
    return directory
