"""The event by which an installation tries itself: it comes through, and nobody behind hears of it."""

import pytest

from omctl.address_ranges import format_nginx
from omctl.installing import credentials, first_event
from omctl.installing.gateway import EVERYBODY
from workers.parsing import CONVERSATION_UPDATED, EVENT_TYPES, DriftNotes, read_body


def test_it_is_put_on_record_under_its_own_name_and_has_no_effect():
    [event] = read_body(first_event.body_of("omctl-install-1"), notes := DriftNotes(), EVENT_TYPES)

    assert (event.conversation_id, event.event_type) == ("omctl-install-1", CONVERSATION_UPDATED)
    assert event.skip == "other_medium"
    assert not notes.pending()


def test_it_has_the_headers_that_the_edge_requires(tmp_path, monkeypatch):
    secrets = tmp_path / "secrets"
    secrets.write_text("constructed-new,constructed-old\n")
    monkeypatch.setattr(credentials, "WEBHOOK_SECRETS", secrets)
    monkeypatch.setenv("OM_REQUIRED_HEADERS", "X-Webhook-Source=genesys-cloud,X-Custom-Channel=one")

    headers = first_event.headers_of(b"body")

    assert headers["x-webhook-source"] == "genesys-cloud"
    assert headers["x-custom-channel"] == "one"
    assert headers["X-Hub-Signature-256"].startswith("sha256=")


@pytest.mark.parametrize("written", [EVERYBODY, format_nginx([], "a day")])
def test_it_is_let_in_where_nginx_refuses_who_is_not_on_the_list(written):
    assert "    127.0.0.1 1;\n" in written
