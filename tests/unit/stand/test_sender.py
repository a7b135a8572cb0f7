"""A sender does all that it is told."""

import io
import json
import os
import sys

from tests.stand.order import Order
from tests.stand.sender import Sender


def test_two_words_that_are_said_at_once_are_both_obeyed(monkeypatch, tmp_path):
    heard, said = os.pipe()
    with os.fdopen(heard) as stdin, io.FileIO(said, "w") as stdout:
        monkeypatch.setattr(sys, "stdin", stdin)
        sender = Sender(Order(1, str(tmp_path / "records"), run="run"))
        told = []
        monkeypatch.setattr(sender, "obey", told.append)
        words = [{"obeys": True}, {"rate": 600.0}]
        stdout.write("".join(json.dumps(each) + "\n" for each in words).encode())
        sender._listen(heard)
    assert told == words
