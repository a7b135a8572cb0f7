"""Every key of the destinations file is read, and an error names the key that caused it."""

import pytest

from messaging.errors import ConfigurationError
from workers.deliver import Destination
from workers.deliver.destinations import compute_digest, read_destinations

SECRET = "whsec_Y29uc3RydWN0ZWQtc2VjcmV0"
CRM = f"""
[destinations.crm]
url = "https://crm.example/events"
secret = "{SECRET}"
events = ["openmessaging:conversation:message"]
"""


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "destinations.toml"
        path.write_text(content)
        return read_destinations(str(path))

    return read


def test_an_address_a_secret_and_events_are_enough_for_a_destination(read):
    assert read(CRM) == (
        Destination("crm", "https://crm.example/events", (SECRET,), ("openmessaging:conversation:message",)),
    )


def test_a_file_without_a_destination_must_state_that_this_is_intended(read):
    assert read("none = true") == ()
    for content in ("", "none = false", "[destinations]", "none = true\n" + CRM, 'none = "yes"'):
        with pytest.raises(ConfigurationError, match="none = true"):
            read(content)


def test_the_digest_of_a_file_depends_on_its_destinations_but_not_on_order_or_secrets(read):
    other = CRM.replace("destinations.crm", "destinations.other")
    digest = compute_digest(read(CRM + other))
    assert compute_digest(read(other + CRM.replace(SECRET, "whsec_b2xkZXItc2VjcmV0"))) == digest < 2**53
    others = (CRM, CRM + other.replace("events", "e", 1))
    assert len({digest, *(compute_digest(read(content)) for content in others)}) == 3


def test_two_secrets_are_valid_during_a_rotation_and_the_repr_hides_them(read):
    [crm] = read(CRM.replace(f'"{SECRET}"', f'["{SECRET}", "whsec_b2xkZXItc2VjcmV0"]'))
    assert crm.secrets == (SECRET, "whsec_b2xkZXItc2VjcmV0")
    assert SECRET not in repr(crm)


def test_a_secret_file_is_read_from_the_same_folder_or_from_systemds_credentials(read, tmp_path, monkeypatch):
    content = CRM.replace(f'secret = "{SECRET}"', 'secret_file = "crm-secret"')
    (tmp_path / "crm-secret").write_text(SECRET + "\n")
    assert read(content)[0].secrets == (SECRET,)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "crm-secret").write_text("whsec_b2xkZXItc2VjcmV0")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert read(content)[0].secrets == ("whsec_b2xkZXItc2VjcmV0",)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("https://crm.example/events", "http://crm.example/events", "crm.url"),
        ("https://crm.example/events", "crm.example", "crm.url"),
        ("https://crm.example/events", "https://crm.example:port/", "crm.url"),
        *[
            ("https://", f"{before}https://", "must be https://")
            for before in (" ", "\\n", "\\u0001", "h\\tt")
        ],
        ('url = "https://crm.example/events"', "", "crm.url: is missing"),
        ('url = "https://crm.example/events"', "url = 1", "crm.url"),
        (SECRET, "no base64", "crm.secret"),
        (SECRET, "whsec_", "crm.secret"),
        (f'secret = "{SECRET}"', "", "crm.secret"),
        (f'secret = "{SECRET}"', 'secret_file = "nowhere"', "crm.secret_file: must name a readable"),
        (f'secret = "{SECRET}"', f'secret_file = "{SECRET}"', "crm.secret_file"),
        ("conversation:message", "conversation:massage", "crm.events"),
        ('["openmessaging:conversation:message"]', "[]", "crm.events"),
        ("[destinations.crm]", "[destinations.crm]\ntimeout = 0", "crm.timeout"),
        ("[destinations.crm]", "[destinations.crm]\ntimeout = nan", "crm.timeout"),
        ("[destinations.crm]", "[destinations.crm]\nconcurrency = 1.5", "crm.concurrency"),
        ("[destinations.crm]", "[destinations.crm]\nconcurrency = true", "crm.concurrency"),
        ("[destinations.crm]", "[destinations.crm]\nenabled = 1", "crm.enabled"),
        ("[destinations.crm]", "[destinations.crm]\nretries = 1", "crm.retries: is unknown"),
        ("[destinations.crm]", '[destinations."C R M"]', "destinations.C R M"),
        ("[destinations.crm]", "[destination.crm]", "destination"),
        ("[destinations.crm]", "destinations = 1\n[crm]", "crm"),
        ("[destinations.crm]", "[[destinations.crm]]", "must be a table"),
        ("[destinations.crm]", "[destinations.crm", "is not valid TOML"),
    ],
)
def test_an_error_names_the_key_but_does_not_show_a_secret(read, old, new, key):
    with pytest.raises(ConfigurationError, match="OM_DESTINATIONS") as refused:
        read(CRM.replace(old, new))
    assert key in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "more"),
    [
        *[(url, "") for url in ("http://127.0.0.1:8000/", "http://[::1]/", "http://localhost/crm")],
        ("http://crm.internal/", "allow_http = true"),
    ],
)
def test_plain_http_is_accepted_only_on_this_host_or_if_a_setting_permits_it(read, url, more):
    assert read(CRM.replace("https://crm.example/events", url) + more)[0].url == url


def test_the_error_for_a_missing_destinations_file_names_the_setting(tmp_path):
    with pytest.raises(ConfigurationError, match="OM_DESTINATIONS must name a readable text file"):
        read_destinations(str(tmp_path / "nowhere.toml"))
