"""Commands print customers' text safely, parse times, limit rates, and give each replay its own keys."""

import json
import threading
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner

from messaging.envelope import generation_of, replay_source
from omctl.interface import json_option, parse_timestamp, print_body, print_table, show_json, visible
from omctl.interventions import RateLimiter
from workers.parsing import Event, replay_event

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
DIRECTION = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE = f"[/b][true][link=https://example.com]text[/link] {CONTROLS}{DIRECTION}\ud83d end"
HARMLESS = "\t\n"


def printed(command, *arguments):
    return CliRunner().invoke(click.command()(lambda: command(*arguments)), catch_exceptions=False)


@pytest.mark.parametrize("character", sorted(set(CONTROLS + DIRECTION) - set(HARMLESS)))
def test_a_terminal_control_character_is_shown_as_an_escape_sequence(character):
    assert visible(f"a{character}b") == f"a{character.encode('unicode_escape').decode()}b"


def test_a_table_shows_markup_and_control_characters_as_text():
    output = printed(print_table, ("[b]name",), [(HOSTILE,)]).output
    assert "[/b][true][link=https://example.com]text[/link]" in output.replace("\n", "")
    assert set(output) & set(CONTROLS + DIRECTION) <= set(HARMLESS)
    assert "[b]name" in output


def test_a_long_id_is_never_wrapped(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    digest, text = "0123456789abcdef" * 4, "some words " * 9
    output = printed(print_table, ("id", "text", "id"), [(digest, text, digest)]).output
    assert output.count(digest) == 2


def test_a_body_is_printed_byte_for_byte_if_the_output_is_not_a_terminal():
    body = HOSTILE.encode(errors="surrogatepass") + bytes(range(256))
    assert printed(print_body, body).stdout_bytes == body + b"\n"


def test_json_output_escapes_control_characters():
    command = json_option(click.command()(lambda: show_json({"text": HOSTILE})))
    output = CliRunner().invoke(command, ["--json"], catch_exceptions=False).output
    assert json.loads(output) == {"text": HOSTILE}
    assert set(output) & set(CONTROLS + DIRECTION) <= {"\n"}


NOW = datetime(2026, 5, 15, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-05-15T12:00", NOW - timedelta(hours=2)),
        ("2026-05-15T14:00+02:00", NOW - timedelta(hours=2)),
    ],
)
def test_a_time_is_given_as_an_age_or_a_date(text, time):
    assert parse_timestamp(text, NOW) == time


@pytest.mark.parametrize("text", ["soon", "2w", ""])
def test_a_time_in_any_other_form_is_refused(text):
    with pytest.raises(ValueError):
        parse_timestamp(text, NOW)


@pytest.mark.parametrize("rate", [0.0, 0.001])
def test_a_rate_limiter_without_a_rate_or_after_cancellation_does_not_wait(rate):
    cancelled, pauses = threading.Event(), []
    rate_limiter = RateLimiter(rate, pauses.append, cancelled)
    rate_limiter.wait()
    if rate:
        cancelled.set()
    for _ in range(10):
        assert rate_limiter.wait() is (rate == 0.0)
    assert pauses == []


def test_each_replay_with_the_option_again_gives_an_event_a_key_of_that_replay():
    sources = ("webhook", "replay", "replay:", "replay:XYZ", "replay:" + "a" * 33)
    assert [generation_of(source) for source in sources] == [None] * 5
    event = Event("t", "c", 0, "key", "guide")
    assert generation_of(replay_source("1f")) == "1f"
    keys = {replay_event(event, generation).idempotency_key for generation in ("1f", "2e", "1f")}
    assert len(keys) == 2
    assert event.idempotency_key not in keys
