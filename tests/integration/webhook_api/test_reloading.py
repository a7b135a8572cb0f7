"""On SIGHUP, the edge rereads its settings file without refusing a request."""

import json
import os
import signal
import threading

import pytest

from tests.services import SECRET, post, signature

NEW_SECRET = "constructed-secret-of-next-month"
PASSWORD = "constructed-password"
MALFORMED = ("OM_LOG_LEVEL=loud", f"OM_AMQP_URL=amqp://user:{PASSWORD}[@127.0.0.1:9/")


@pytest.fixture
def settings_file(tmp_path):
    file = tmp_path / "environment"
    file.write_text("OM_LOG_LEVEL=warning\n")
    return file


@pytest.fixture
def edge(make_edge, settings_file):
    return make_edge(OM_SETTINGS_FILE=str(settings_file))


def lines_of(edge, event):
    lines = [json.loads(line) for line in edge.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def reload(edge):
    [before] = edge.health()["processes"]
    os.kill(edge.pid, signal.SIGHUP)
    edge.wait_until(
        lambda: before["pid"] not in {each["pid"] for each in edge.health()["processes"]}, timeout=30
    )


def test_a_reload_under_load_applies_new_and_refuses_malformed_settings(edge, settings_file):
    done = threading.Event()
    statuses = []

    def send():
        while not done.is_set():
            statuses.append(post(edge.url, b'{"n":%d}' % len(statuses)).status_code)

    sender = threading.Thread(target=send)
    sender.start()
    settings_file.write_text(f"OM_LOG_LEVEL=info\nOM_WEBHOOK_SECRETS={NEW_SECRET},{SECRET}\n")
    reload(edge)
    by_new_secret = post(
        edge.url, b"{}", X_Hub_Signature_256=signature(b"{}", NEW_SECRET), X_Request_Id="r-7"
    )
    for malformed in MALFORMED:
        settings_file.write_text(f"{malformed}\nOM_WEBHOOK_SECRETS={SECRET}\n")
        reload(edge)
    after_refusal = post(edge.url, b"{}", X_Hub_Signature_256=signature(b"{}", NEW_SECRET))
    done.set()
    sender.join()
    assert set(statuses) == {200}
    assert (by_new_secret.status_code, by_new_secret.headers["X-Request-ID"]) == (200, "r-7")
    assert after_refusal.status_code == 200
    refused = [line["reason"].partition(" ")[0] for line in lines_of(edge, "reload_refused")]
    assert refused == [malformed.partition("=")[0] for malformed in MALFORMED]
    assert PASSWORD not in edge.log.read_text()
