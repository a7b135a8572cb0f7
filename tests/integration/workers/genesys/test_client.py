"""The client sends HTTP requests to the simulated platform, with its budget in a real database."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from messaging.clock import SystemClock
from simulator.platform import Conversation, Fault, Participant
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.test_http_deadline import server
from tests.servers import LOOPBACK, free_port
from workers.genesys import (
    ConversationStates,
    GenesysClient,
    GenesysSettings,
    PlatformRefusedError,
    PlatformState,
    PlatformUnavailableError,
    RequestBudget,
)
from workers.parsing.events import QUEUED

RECEIPTS = "/api/v2/conversations/messages/integration/inbound/open/receipt"
PATH = "/api/v2/conversations/c1"
PARTICIPANTS = [Participant("customer"), Participant("acd", queue_id="q1")]


@pytest.fixture
def organisation(organisation):
    organisation.put(Conversation("c1", "2026-01-01T00:00:00.000Z", participants=PARTICIPANTS))
    organisation.requests_per_minute = 100
    return organisation


@pytest.fixture
def make_client(platform_url, engine):
    def make_client(limit=100, secret=CLIENT_SECRET, url=platform_url):
        settings = GenesysSettings(url, url, "client", secret, limit)
        return GenesysClient(settings, RequestBudget(engine, "client", limit, SystemClock()))

    return make_client


def test_a_conversations_state_is_requested_at_most_once_in_ten_seconds(make_client, organisation):
    states = ConversationStates(make_client())
    assert states.find("c1") == PlatformState(QUEUED, "q1")
    assert states.find("c1") == PlatformState(QUEUED, "q1")
    assert organisation.requests == ["GET /api/v2/conversations/c1"]


def test_an_unknown_or_malformed_id_has_no_state(make_client, organisation):
    states = ConversationStates(make_client())
    assert states.find("nowhere/../c1") is None
    organisation.inject_fault(Fault(400))
    assert states.find("no-uuid") is None


@pytest.mark.parametrize("secret", [CLIENT_SECRET, "another-secret"])
def test_refused_credentials_are_not_mistaken_for_an_unknown_conversation(make_client, organisation, secret):
    if secret == CLIENT_SECRET:
        organisation.inject_fault(Fault(403))
    with pytest.raises(PlatformRefusedError) as refused:
        ConversationStates(make_client(secret=secret)).find("c1")
    assert refused.value.is_of_credentials is (secret != CLIENT_SECRET)
    assert secret not in str(refused.value)


def test_a_token_that_was_revoked_is_renewed_once(make_client, organisation):
    client = make_client()
    client.get(PATH)
    organisation.revoke_tokens()
    assert client.get(PATH)["id"] == "c1"
    assert organisation.tokens_issued == 2


def test_a_token_is_renewed_before_it_expires(make_client, organisation):
    organisation.token_seconds = 1.0
    client = make_client()
    client.get(PATH)
    time.sleep(0.93)
    client.get(PATH)
    assert organisation.tokens_issued == 2
    # No request was rejected and retried, because the old token was still valid.
    assert len(organisation.requests) == 2


def test_a_429_pauses_every_caller_on_every_host(make_client, organisation):
    one, other = make_client(), make_client()
    other.get(PATH)
    organisation.inject_fault(Fault(429, retry_after=30))
    with pytest.raises(PlatformUnavailableError) as told:
        one.get(PATH)
    assert told.value.delay == 30.0
    with pytest.raises(PlatformUnavailableError, match="budget") as held:
        other.get(PATH)
    assert 25 < held.value.delay <= 31
    assert len(organisation.requests) == 1


def test_several_callers_together_stay_within_the_limit(make_client, organisation):
    clients = [make_client(limit=20) for _ in range(4)]

    def ask(number):
        try:
            clients[number % 4].get(PATH)
        except PlatformUnavailableError:
            return 0
        return 1

    with ThreadPoolExecutor(4) as callers:
        answered = sum(callers.map(ask, range(80)))
    assert answered == len(organisation.requests)
    assert 1 <= answered <= 5
    assert organisation.refused == 0


@pytest.mark.parametrize(
    ("fault", "delay"),
    [*[(Fault(status), 5.0) for status in (500, 502, 503, 504)], (Fault(503, retry_after=40), 40.0)],
)
def test_a_platform_error_contains_the_delay_before_the_next_request(make_client, organisation, fault, delay):
    organisation.inject_fault(fault)
    with pytest.raises(PlatformUnavailableError, match="inin-correlation-id") as failed:
        make_client().get(PATH)
    assert failed.value.delay == delay


def test_a_refusal_names_the_platforms_code_and_correlation_id(make_client):
    with pytest.raises(PlatformRefusedError, match=r"404 not\.found \(inin-correlation-id [0-9a-f-]{36}\)"):
        make_client().get("/api/v2/conversations/unknown")


def test_a_failed_post_is_not_repeated(make_client, organisation):
    organisation.inject_fault(Fault(503))
    client = make_client()
    with pytest.raises(PlatformUnavailableError):
        client.send("POST", RECEIPTS, {"id": "m1", "status": "Failed"})
    assert organisation.receipts == []
    client.send("POST", RECEIPTS, {"id": "m1", "status": "Failed"})
    assert [each["id"] for each in organisation.receipts] == ["m1"]


def test_a_platform_that_does_not_answer_is_reported_as_unavailable(make_client):
    with pytest.raises(PlatformUnavailableError):
        make_client(url=f"http://{LOOPBACK}:{free_port()}").get(PATH)


@contextmanager
def dripping(head, piece):
    """Answer each connection with *head* and then with *piece* repeatedly; yield the server's address."""

    def drip(accepted):
        accepted.recv(65_536)
        accepted.sendall(head)
        while True:
            accepted.sendall(piece)
            time.sleep(0.05)

    with server(drip) as port:
        yield f"http://{LOOPBACK}:{port}"


DRIPPED = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n"


@pytest.mark.parametrize(("piece", "request_seconds"), [(b" ", 1.0), (b" " * 4_000_000, 15.0)])
@pytest.mark.parametrize("part", ["the API", "the login"])
def test_an_endless_or_too_long_answer_counts_as_a_failure(platform_url, part, piece, request_seconds):
    with dripping(DRIPPED, piece) as url:
        api, login = (url, platform_url) if part == "the API" else (platform_url, url)
        settings = GenesysSettings(api, login, "client", CLIENT_SECRET)
        client = GenesysClient(settings, None, request_seconds)
        began = time.monotonic()
        with pytest.raises(PlatformUnavailableError):
            client.get(PATH)
        # The client stops reading an overlong answer before the deadline of 15 s.
        assert time.monotonic() - began < 14


def test_credentials_are_not_sent_to_another_address_after_a_redirect(platform_url, organisation):
    elsewhere = f"{platform_url}/oauth/token".encode()
    head = b"HTTP/1.1 307 Temporary Redirect\r\ncontent-length: 0\r\nlocation: " + elsewhere + b"\r\n\r\n"
    with dripping(head, b"") as url:
        client = GenesysClient(GenesysSettings(platform_url, url, "client", CLIENT_SECRET), None)
        with pytest.raises(PlatformUnavailableError, match="login service returned an unusable answer"):
            client.get(PATH)
    assert organisation.tokens_issued == 0
