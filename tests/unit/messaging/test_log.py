"""A line is a JSON object, or one that a person reads; a library's line looks like our own."""

import json
import logging

import pytest

from messaging.log import FORMS, library_formatter


def line_of(form):
    record = logging.LogRecord("gunicorn.error", logging.INFO, __file__, 1, "Booting %s", ("worker",), None)
    return library_formatter(form).format(record)


def test_json_is_one_object_a_line():
    assert json.loads(line_of("json"))["event"] == "Booting worker"


def test_text_is_for_a_persons_eyes():
    line = line_of("text")
    assert "Booting worker" in line
    assert not line.startswith("{")


@pytest.mark.parametrize("form", FORMS)
def test_an_exception_is_told_in_either(form):
    try:
        int("spoken")
    except ValueError as error:
        record = logging.LogRecord(
            "pika", logging.ERROR, __file__, 1, "failed", (), (type(error), error, None)
        )
    assert "ValueError" in library_formatter(form).format(record)
