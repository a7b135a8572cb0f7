"""The runbook's command finds all warnings and errors in each log format."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"
PROGRAM = """
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
def test_the_runbooks_command_finds_every_warning_and_error_in_the_log(form):
    """An empty *form* means that logging is not configured yet, for example when a setting is refused."""
    [pattern] = re.findall(r"journalctl .*\| grep -E '([^']+)'", RUNBOOK.read_text())
    program = [sys.executable, "-c", PROGRAM.format(form=form)]
    log = subprocess.check_output(program, stderr=subprocess.DEVNULL)
    shown = subprocess.check_output(["grep", "-E", pattern], input=log).decode()
    events = re.findall(r"edge_started|broker_away|callback_failed|request_failed|worker_timeout", shown)
    library = ["worker_timeout"] if form else []
    assert events == [*library, "broker_away", "callback_failed", "request_failed"]
