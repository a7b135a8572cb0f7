"""All log lines, including those of libraries, are JSON objects, or readable text on a terminal."""

import asyncio
import json
import logging

import pytest
from structlog.testing import capture_logs

from messaging.log import library_formatter, log_callback_failure


@pytest.mark.parametrize("as_text", [False, True])
def test_an_exception_is_logged_both_as_json_and_as_text(as_text):
    try:
        int("spoken")
    except ValueError as error:
        record = logging.LogRecord(
            "pika", logging.ERROR, __file__, 1, "failed", (), (type(error), error, None)
        )
    assert "ValueError" in library_formatter(as_text=as_text).format(record)


@pytest.mark.parametrize("force", ["", "1"])
def test_a_line_is_json_unless_force_color_selects_text(monkeypatch, force):
    monkeypatch.setenv("FORCE_COLOR", force)
    record = logging.LogRecord("gunicorn.error", logging.INFO, __file__, 1, "Booting %s", ("worker",), None)
    line = library_formatter().format(record)
    assert "Booting worker" in line
    assert force or json.loads(line)["event"] == "Booting worker"
    assert line.startswith("{") is (not force)


def test_the_log_line_about_a_failed_callback_omits_its_arguments():
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(log_callback_failure)
    loop.call_soon(int, "a body")
    with capture_logs() as lines:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    [line] = lines
    assert line["reason"] == "Exception in callback int"
