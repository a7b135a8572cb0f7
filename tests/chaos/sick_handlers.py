"""Install an integrator's handler that obeys an order in the text of a marked event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MARK = "chaos: "

OBEYED = "obeyed"
"""The name of the file to which the handler adds two lines for each order: first the order's name, and then,
once the order has been carried out, how long this took."""

HANDLER = '''"""Obey a marked event: die, raise, be slow, hang."""

import os
import pathlib
import signal
import time

import sqlalchemy
from sqlalchemy.exc import NoResultFound

import workers.bootstrap

# A hang differs from a slow handler after seconds.
workers.bootstrap.HANDLER_SECONDS = 5.0


def handle(connection, events, _now_us):
    for each in events:
        if (each.event.text or "").startswith("chaos: "):
            order = each.event.text.removeprefix("chaos: ")
            note(order)
            started = time.monotonic()
            obey(connection, order)
            note(f"{order} took {time.monotonic() - started:.1f} s")
    return {}


def note(line):
    with pathlib.Path(__file__).with_name("obeyed").open("a") as file:
        file.write(f"{line}\\n")


def obey(connection, order):
    if order == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "raise":
        raise ValueError("as told")
    if order == "no row":
        raise NoResultFound("as told")
    if order == "missing table":
        connection.execute(sqlalchemy.text("DELETE FROM no_such_table"))
    if order == "slow":
        time.sleep(2)
    while order == "loop":
        pass
    if order == "hang":
        time.sleep(100_000)
'''

# A worker finds an integrator's package by its metadata, so these files suffice if their directory is on
# PYTHONPATH.
FILES = {
    "chaos_handlers.py": HANDLER,
    "chaos_handlers-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: chaos-handlers\nVersion: 1\n",
    "chaos_handlers-1.dist-info/entry_points.txt": (
        "[open_messaging.handlers]\nopenmessaging:conversation:message = chaos_handlers:handle\n"
    ),
}


def install(directory: Path) -> Path:
    """Write the package into *directory*, and return *directory*, which must be on PYTHONPATH."""
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return directory


def obeyed(directory: Path) -> list[str]:
    """Return the lines that the handler has written to its file in *directory*."""
    path = directory / OBEYED
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def marked(body: bytes, order: str) -> bytes:
    """Return a copy of an event that contains an order for the handler."""
    event = json.loads(body)
    event.pop("routing", None)
    event["eventType"] = "openmessaging:conversation:message"
    event["message"] = {"id": order, "text": MARK + order, "direction": "inbound"}
    return json.dumps(event).encode()
