"""One deadline covers all stages of a request, no matter at which stage the server stops responding."""

import socket
import time
from http.client import HTTPConnection

import pytest
import requests

from tests.integration.workers.socket_server import server
from tests.servers import LOOPBACK, free_port
from workers.http_deadline import DeadlineAdapter, shorten_deadline

SECONDS = 1.0
PATIENCE = 6.0
"""How long servers stay silent: far longer than the deadline. A request must end within half of this time."""

MAX_BYTES = 100_000
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, DeadlineAdapter(max_answer_bytes=MAX_BYTES))
        yield session


def says_nothing(accepted):
    accepted.recv(1)
    time.sleep(PATIENCE)


def reads_nothing(_accepted):
    time.sleep(PATIENCE)


def drip(accepted, head, piece):
    accepted.recv(65_536)
    accepted.sendall(head)
    for _ in range(40):
        time.sleep(0.2)
        accepted.sendall(piece)


def drips_headers(accepted):
    drip(accepted, OK, b"x-a: b\r\n")


def drips_the_length_of_a_chunk(accepted):
    drip(accepted, OK + b"transfer-encoding: chunked\r\n\r\n", b"0")


def drips_a_body(accepted):
    drip(accepted, OK + b"content-length: 1000\r\n\r\n", b"x")


def answers(body):
    def answer(accepted):
        while accepted.recv(65_536):
            accepted.sendall(OK + f"content-length: {len(body)}\r\n\r\n".encode() + body)

    return answer


@pytest.mark.parametrize(
    ("answer", "scheme"),
    [
        (says_nothing, "http"),
        (says_nothing, "https"),
        (reads_nothing, "http"),
        (drips_headers, "http"),
        (drips_the_length_of_a_chunk, "http"),
        (drips_a_body, "http"),
    ],
)
def test_a_request_ends_at_its_deadline_at_any_stage_at_which_the_server_stops(session, answer, scheme):
    with server(answer) as port:
        started = time.monotonic()
        body = b"x" * (30_000_000 if answer is reads_nothing else 10)
        with pytest.raises(requests.RequestException):
            session.post(f"{scheme}://{LOOPBACK}:{port}/", data=body, timeout=SECONDS)
        assert SECONDS * 0.9 < time.monotonic() - started < PATIENCE / 2


def test_the_attempts_at_all_addresses_of_a_host_share_one_deadline(session, monkeypatch):
    with socket.socket() as listening, socket.socket() as first:
        listening.bind(("", free_port()))
        listening.listen(0)
        # This connection fills the listen queue, so later connections get no answer.
        first.connect((LOOPBACK, port := listening.getsockname()[1]))
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{number}", port)) for number in range(1, 9)
        ]

        def look_up(host, *_, **__):
            return found if host == "many" else [found[int(host[-1]) - 1]]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        started = time.monotonic()
        with pytest.raises(requests.ConnectTimeout):
            session.get(f"http://many:{port}/", timeout=SECONDS)
        assert time.monotonic() - started < PATIENCE / 2


def test_a_host_is_reached_at_its_second_address_if_the_first_fails(session, monkeypatch):
    with server(answers(b"hello")) as port:
        original = socket.getaddrinfo

        def look_up(host, *args, **options):
            hosts = ("127.0.0.2", LOOPBACK) if host == "two" else (host,)
            return [address for name in hosts for address in original(name, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        assert session.get(f"http://two:{port}/", timeout=PATIENCE).text == "hello"


def test_an_answer_that_is_too_long_is_an_error(session):
    with server(answers(b"x" * MAX_BYTES)) as port, pytest.raises(requests.RequestException):
        session.get(f"http://{LOOPBACK}:{port}/", timeout=SECONDS)


def test_each_request_on_a_reused_connection_has_its_own_deadline(session):
    accepted = []

    def note(connection):
        accepted.append(connection)
        answers(b"x" * (MAX_BYTES // 2))(connection)

    with server(note) as port:
        for _ in range(6):
            assert session.get(f"http://{LOOPBACK}:{port}/", timeout=PATIENCE).ok
            # The next request fails if this deadline, which has passed, applies to it too.
            shorten_deadline(0.0)
    assert len(accepted) == 1


def test_the_deadline_can_be_shortened_while_an_answer_is_read(session):
    with server(drips_a_body) as port:
        started = time.monotonic()
        with session.get(f"http://{LOOPBACK}:{port}/", timeout=PATIENCE, stream=True) as answer:
            shorten_deadline(0.3)
            with pytest.raises(requests.RequestException):
                _ = answer.content
        assert time.monotonic() - started < PATIENCE / 2


def test_a_failed_connection_is_distinguished_from_a_request_that_may_have_arrived(session):
    with pytest.raises(requests.ConnectionError) as raised:
        session.get(f"http://{LOOPBACK}:{free_port()}/", timeout=SECONDS)
    assert type(raised.value.args[0].reason).__name__ == "NewConnectionError"
    with pytest.raises(requests.ConnectionError, match="NameResolutionError"):
        session.get("http://no-such-host.invalid/", timeout=PATIENCE)


def test_the_head_and_the_body_of_a_request_are_sent_together(session, monkeypatch):
    sent, send = [], HTTPConnection.send

    def note(connection, data):
        sent.append(data)
        send(connection, data)

    def answers(accepted):
        accepted.recv(1_000)
        accepted.sendall(OK + b"Content-Length: 0\r\n\r\n")

    monkeypatch.setattr(HTTPConnection, "send", note)
    with server(answers) as port:
        assert session.post(f"http://{LOOPBACK}:{port}", data=b"a body", timeout=PATIENCE).ok
    [request] = sent
    assert request.endswith(b"\r\n\r\na body")
