"""Customers' text is data: no command prints it as markup or as terminal control."""

import json

import click
import pytest
from click.testing import CliRunner

from omctl.interface import json_option, print_body, print_table, show_json, visible

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
DIRECTION = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE = f"[/b][true][link=https://example.com]text[/link] {CONTROLS}{DIRECTION}\ud83d end"
HARMLESS = "\t\n"


def printed(command, *arguments):
    return CliRunner().invoke(click.command()(lambda: command(*arguments)), catch_exceptions=False)


@pytest.mark.parametrize("character", sorted(set(CONTROLS + DIRECTION) - set(HARMLESS)))
def test_a_character_that_controls_a_terminal_is_shown_as_an_escape(character):
    assert visible(f"a{character}b") == f"a{character.encode('unicode_escape').decode()}b"


def test_a_table_shows_markup_and_controls_as_text():
    output = printed(print_table, ("[b]name",), [(HOSTILE,)]).output
    assert "[/b][true][link=https://example.com]text[/link]" in output.replace("\n", "")
    assert set(output) & set(CONTROLS + DIRECTION) <= set(HARMLESS)
    assert "[b]name" in output


def test_a_body_is_printed_byte_for_byte_where_no_terminal_reads_it():
    body = HOSTILE.encode(errors="surrogatepass") + bytes(range(256))
    assert printed(print_body, body).stdout_bytes == body + b"\n"


def test_json_escapes_controls():
    command = json_option(click.command()(lambda: show_json({"text": HOSTILE})))
    output = CliRunner().invoke(command, ["--json"], catch_exceptions=False).output
    assert json.loads(output) == {"text": HOSTILE}
    assert set(output) & set(CONTROLS + DIRECTION) <= {"\n"}
