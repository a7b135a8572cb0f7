"""A line is a JSON object, or readable text on a terminal; a library's line looks like our own."""

import asyncio
import json
import logging

import pytest
from structlog.testing import capture_logs

from messaging.log import library_formatter, log_callback_failure


def line_of(*, as_text=False):
    record = logging.LogRecord("gunicorn.error", logging.INFO, __file__, 1, "Booting %s", ("worker",), None)
    return library_formatter(as_text=as_text).format(record)


def test_json_is_one_object_a_line():
    assert json.loads(line_of())["event"] == "Booting worker"


def test_text_is_readable():
    line = line_of(as_text=True)
    assert "Booting worker" in line
    assert not line.startswith("{")


@pytest.mark.parametrize("as_text", [False, True])
def test_an_exception_is_logged_in_either_form(as_text):
    try:
        int("spoken")
    except ValueError as error:
        record = logging.LogRecord(
            "pika", logging.ERROR, __file__, 1, "failed", (), (type(error), error, None)
        )
    assert "ValueError" in library_formatter(as_text=as_text).format(record)


@pytest.mark.parametrize(("force", "begins"), [("", "{"), ("1", "")])
def test_force_color_stands_for_a_terminal_at_the_other_end_of_a_pipe(monkeypatch, force, begins):
    monkeypatch.setenv("FORCE_COLOR", force)
    assert line_of().startswith(begins)
    assert line_of().startswith("{") is (not force)


def test_the_line_of_a_failed_callback_contains_no_arguments():
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(log_callback_failure)
    loop.call_soon(int, "a body")
    with capture_logs() as lines:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    [line] = lines
    assert line["reason"] == "Exception in callback int"
