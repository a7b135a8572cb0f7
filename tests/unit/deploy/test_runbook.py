"""The runbook's first look at the log shows what the service warns of, in either form."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"
SAYING = """
import logging
from messaging.log import configure_logging, logger
if {form!r}:
    configure_logging("info", process="edge", as_text={form!r} == "text")
    logging.getLogger("gunicorn.error").critical("worker_timeout")
logger().info("edge_started", level_high=20000)
logger().warning("broker_away")
logger().error("callback_failed")
try:
    raise ValueError
except ValueError:
    logger().exception("request_failed")
"""


@pytest.mark.parametrize("form", ["json", "text", ""])
def test_the_runbooks_look_at_the_log_shows_every_warning_and_nothing_else(form):
    """Without a form: as before the settings are read, which is how a refused one is told."""
    [pattern] = re.findall(r"journalctl .*\| grep -E '([^']+)'", RUNBOOK.read_text())
    program = [sys.executable, "-c", SAYING.format(form=form)]
    said = subprocess.check_output(program, stderr=subprocess.DEVNULL)

    shown = subprocess.check_output(["grep", "-E", pattern], input=said).decode()

    events = re.findall(r"edge_started|broker_away|callback_failed|request_failed|worker_timeout", shown)
    library = ["worker_timeout"] if form else []
    assert events == [*library, "broker_away", "callback_failed", "request_failed"]
