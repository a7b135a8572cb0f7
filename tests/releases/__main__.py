"""Record the data formats of the current, unreleased version: python -m tests.releases."""

import json
from configparser import ConfigParser
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from sqlite3 import connect
from tempfile import TemporaryDirectory

from messaging.envelope import Envelope, encode_properties
from messaging.topology import BINDINGS, EXCHANGES, QUEUES
from webhook_api.journal import encode_header
from workers.db.migrations import schema

HERE = Path(__file__).parent
ENVELOPES = (
    Envelope("0194f6b2-1", 1_732_462_000_000_001, "nginx-4711", "webhook", '{"text": "Grüße"}'.encode()),
    Envelope("0194f6b2-2", 1_732_462_000_000_002, "0194f6b2-2", "replay:00ff", b"\x00 not JSON"),
    Envelope("0194f6b2-3", 1_732_462_000_000_003, "", "reconcile", b"{}"),
)


def record(folder):
    """Write envelopes as bytes, a segment with the same events, the topology, and the tables' DDL."""
    folder.mkdir(exist_ok=True)
    rows, segment = [], b""
    for envelope in ENVELOPES:
        fields = asdict(envelope)
        body = fields.pop("body")
        properties = encode_properties(**fields)
        rows.append({"properties": properties.hex(), "body": body.hex(), **fields})
        segment += encode_header(properties, body) + properties + body
    (folder / "envelopes.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "segment.bin").write_bytes(segment)
    topology = {"exchanges": EXCHANGES, "queues": QUEUES, "bindings": BINDINGS}
    (folder / "topology.json").write_text(json.dumps(topology, indent=1) + "\n")
    with TemporaryDirectory() as directory:
        path = Path(directory, "events.sqlite3")
        schema.upgrade(f"sqlite:///{path}")
        with closing(connect(path)) as connection:
            (folder / "schema.sql").write_text("\n".join(connection.iterdump()) + "\n")


if __name__ == "__main__":
    setup = ConfigParser()
    setup.read(HERE.parents[1] / "setup.cfg")
    record(HERE / setup["metadata"]["version"])
