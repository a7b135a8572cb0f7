"""No connection URL is shown with any part of its password, whatever characters the password has."""

import string

import pytest

from omctl.redaction import HIDDEN, redact_url, redact_urls

PIECES = ("Kq7", "Wx9", "Vz3")
PASSWORDS = [character.join(PIECES) for character in string.printable]


def leaks(text):
    return [piece for piece in PIECES if piece in text]


@pytest.mark.parametrize("password", PASSWORDS)
def test_no_part_of_a_password_is_shown(password):
    url = f"postgresql+psycopg://user:{password}@db.example:5432/om"
    assert leaks(redact_url(url)) == []
    assert leaks(redact_urls(f"{url}, {url}")) == []
    assert leaks(redact_url(f"postgresql://db.example/om?password={password}")) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@db:5432/om?sslmode=verify-full", "postgresql://db:5432/om"),
        ("postgresql://u:hid@den@db/om", "postgresql://db/om"),
        ("postgresql://db/om?user=u&password=a@b", HIDDEN),
        ("sqlite:////var/lib/om.sqlite3", "sqlite:////var/lib/om.sqlite3"),
        ("no URL", HIDDEN),
    ],
)
def test_scheme_host_and_path_are_shown(url, shown):
    assert redact_url(url) == shown


def test_a_comma_in_a_password_hides_the_whole_list():
    assert redact_urls("amqp://u:Kq7,Wx9@a/v") == HIDDEN
    assert redact_urls("amqp://u:p@a/v, amqp://u:p@b/v") == "amqp://a/v, amqp://b/v"
