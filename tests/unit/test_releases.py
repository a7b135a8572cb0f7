"""This version reads the events, queues and tables of every release.

If a test fails before 1.0.0 is released, `python -m tests.releases` records the formats again. After 1.0.0,
the code must still read the old formats, with a migration or a second reader.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from messaging.envelope import Envelope, own_envelope
from messaging.topology import BINDINGS, EXCHANGES, QUEUES
from webhook_api.journal import Entry, read_segment
from workers.db.migrations import schema

RELEASES = sorted(
    path for path in (Path(__file__).parents[1] / "releases").iterdir() if path.name[0].isdigit()
)
COLUMNS = """
    SELECT m.type, m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c
    WHERE m.type IN ('table', 'view')
"""
VIEWS = "SELECT name, sql FROM sqlite_master WHERE type = 'view'"


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request):
    return request.param


@pytest.fixture
def envelopes(release):
    return json.loads((release / "envelopes.json").read_text())


def test_the_envelopes_of_a_release_are_read(envelopes):
    for one in envelopes:
        properties, body = bytes.fromhex(one.pop("properties")), bytes.fromhex(one.pop("body"))
        assert own_envelope(properties, body) == Envelope(**one, body=body)


def test_the_journal_segments_of_a_release_are_read(release, envelopes):
    entries = [Entry(bytes.fromhex(one["properties"]), bytes.fromhex(one["body"])) for one in envelopes]
    assert list(read_segment(release / "segment.bin")) == entries


def test_the_exchanges_and_queues_of_a_release_can_be_declared_again(release):
    """A broker refuses to redeclare an existing queue with different arguments; new queues are allowed."""
    topology = json.loads((release / "topology.json").read_text())
    ours = json.loads(json.dumps({"exchanges": EXCHANGES, "queues": QUEUES, "bindings": BINDINGS}))
    for kind in ("exchanges", "queues"):
        kept = {name: ours[kind][name] for name in topology[kind] if name in ours[kind]}
        assert kept == topology[kind]
    assert all(binding in ours["bindings"] for binding in topology["bindings"])


def read(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute(query).fetchall())


def test_the_tables_of_a_release_are_upgraded_and_its_views_keep_their_columns(release, tmp_path):
    path = tmp_path / "events.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((release / "schema.sql").read_text())
    before = read(path, COLUMNS)
    schema.upgrade(f"sqlite:///{path}")
    schema.check(f"sqlite:///{path}")
    after = read(path, COLUMNS)
    views = {(name, column) for kind, name, column in before if kind == "view" and name.endswith("_v1")}
    assert views
    assert views <= {(name, column) for kind, name, column in after if kind == "view"}
    # The release's workers and commands might run beside this version, or be installed again.
    assert {column for column in before if column[0] == "table"} <= after
    new = tmp_path / "new.sqlite3"
    schema.upgrade(f"sqlite:///{new}")
    assert after == read(new, COLUMNS)
    assert read(path, VIEWS) == read(new, VIEWS)
