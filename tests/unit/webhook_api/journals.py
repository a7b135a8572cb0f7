"""Journals of several processes under one roof, as tests make them."""

import os

from webhook_api.host_table import HostTable
from webhook_api.journal import HostLimit, Journal, JournalFullError

NOW_US = 1_732_462_000_000_000
LIMIT = 10_000_000


def journal_in(root, *, max_bytes=LIMIT, processes=1, fsync=False):
    limit = HostLimit(HostTable(root), max_bytes=max_bytes, processes=processes)
    return Journal(root, limit, fsync=fsync, now_us=NOW_US)


def keep(journal, body, properties=b"p"):
    journal.append(properties, body)
    if not journal.write():
        raise JournalFullError


def die(journal):
    """Do what the kernel does when a process dies: its descriptors are closed, nothing else happens."""
    os.close(journal._home._lock)
    journal._close_segment()
    journal._limit.table.close()
    journal._home.directory = None


def left_by_a_dead_process(root, bodies):
    """Return the directory of a process that kept *bodies* and died."""
    journal = journal_in(root)
    for body in bodies:
        keep(journal, body)
    directory = journal.directory
    die(journal)
    return directory
