"""What each kind of request is answered, the same by the short way to the view and by Flask's dispatch."""

import json
import socket
import time

import pytest
import requests

from tests.services import WEBHOOK_PATH, post, signature

BODY = b'{"eventType":"openmessaging:conversation:new"}'
MEBIBYTE = 1024 * 1024


@pytest.fixture(params=["short way", "Flask's dispatch"])
def edge(request):
    """An edge with nothing hooked into its application, or with a hook and a middleware."""
    return request.getfixturevalue("module_edge" if request.param == "short way" else "extended_edge")


@pytest.fixture
def url(edge):
    return edge.url


def test_a_signed_event_is_answered_200_and_its_very_bytes_are_queued(url, events_queue):
    body = b'{"text": "\xc3\xa9\\u00e9 \xff", "n": 1.0}\n'

    answer = post(url, body, X_Request_ID="request-7")

    assert answer.status_code == 200
    [(properties, queued)] = events_queue.take(1)
    assert queued == body
    assert properties.delivery_mode == 2
    assert properties.headers["request-id"] == "request-7"
    assert abs(properties.headers["received-at-us"] - time.time_ns() // 1000) < 10_000_000


WRONG = [
    "",
    "sha256=" + "0" * 64,
    signature(BODY)[:-4],
    signature(BODY, "another-secret-0123456789"),
    signature(json.dumps(json.loads(BODY)).encode()),
    "sha256=é",
]


@pytest.mark.parametrize(
    ("body", "header", "status"),
    [
        *((BODY, header, 401) for header in WRONG),
        (b"", "", 401),
        (b"", signature(b""), 400),
        (b"x" * (MEBIBYTE + 1), "sha256=", 413),
    ],
)
def test_what_is_refused_is_answered_with_its_status_and_not_queued(url, body, header, status, events_queue):
    answer = post(url, body, X_Hub_Signature_256=header.encode("latin-1"))

    assert answer.status_code == status
    assert answer.headers["Connection"] == "close" or status != 413
    assert events_queue.is_empty()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(BODY, "text/plain"), (BODY, "application/x-www-form-urlencoded"), (b"x" * MEBIBYTE, "nonsense")],
)
def test_a_body_up_to_the_limit_is_accepted_whatever_its_type(url, body, content_type, events_queue):
    assert post(url, body, Content_Type=content_type).status_code == 200
    assert [queued for _, queued in events_queue.take(1)] == [body]


@pytest.mark.parametrize(
    ("chunks", "status"), [([BODY[:10], BODY[10:]], 200), ([b"x" * 65536] * 40, 413)], ids=["small", "large"]
)
def test_a_chunked_body_is_put_together_up_to_the_limit(url, chunks, status, events_queue):
    headers = {"X-Hub-Signature-256": signature(BODY)}

    answer = requests.post(url, data=iter(chunks), headers=headers, timeout=10)

    assert answer.status_code == status
    assert [queued for _, queued in events_queue.take(1, timeout=0.5)] == ([BODY] if status == 200 else [])


def test_a_refusal_is_logged_with_its_reason_and_without_the_body(edge):
    post(edge.url, b'{"text":"not to be read"}', X_Hub_Signature_256="sha256=" + "0" * 64)

    log = edge.log.read_text()
    assert '"reason": "signature is hex, not base64"' in log
    assert "not to be read" not in log


# What a socket may do that no client library does.


@pytest.fixture
def raw(module_edge):
    with socket.create_connection(("127.0.0.1", module_edge.port), timeout=10) as sock:
        yield sock


def _request(body=BODY, extra=""):
    head = (
        f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        f"X-Hub-Signature-256: {signature(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


def _answers(sock, count):
    data = b""
    while data.count(b"HTTP/1.1 ") < count or not data.endswith(b"}\n"):
        received = sock.recv(65536)
        if not received:
            break
        data += received
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


def test_a_request_that_drips_in_delays_no_other(raw, module_edge, events_queue):
    request = _request()
    raw.sendall(request[:50])

    assert post(module_edge.url, b'{"other":1}').status_code == 200

    for position in range(50, len(request)):
        raw.sendall(request[position : position + 1])
    assert _answers(raw, 1) == [200]
    assert len(events_queue.take(2)) == 2


def test_pipelined_requests_are_answered_in_order(raw, events_queue):
    raw.sendall(_request() + _request(b"") + _request())

    assert _answers(raw, 3) == [200, 400, 200]
    assert len(events_queue.take(2)) == 2


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(raw, events_queue):
    request = _request(extra="Expect: 100-continue\r\n")
    raw.sendall(request[: -len(BODY)])
    assert raw.recv(65536).startswith(b"HTTP/1.1 100 Continue")

    raw.sendall(BODY)

    assert _answers(raw, 1) == [200]
    assert len(events_queue.take(1)) == 1


def test_connection_close_is_honoured(raw, events_queue):
    raw.sendall(_request(extra="Connection: close\r\n"))

    assert _answers(raw, 1) == [200]
    assert raw.recv(10) == b""
    assert len(events_queue.take(1)) == 1


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000, 431),
    ],
    ids=["TLS", "ambiguous", "a head without end"],
)
def test_what_is_no_request_is_answered_with_its_status_and_closed(raw, garbage, status):
    raw.sendall(garbage)

    assert raw.recv(65536).startswith(b"HTTP/1.1 %d " % status)
    if status == 400:
        assert raw.recv(10) == b""


def test_a_hundred_clients_at_once_each_get_their_answer(module_edge, events_queue):
    sockets = [socket.create_connection(("127.0.0.1", module_edge.port), timeout=10) for _ in range(100)]
    for sock in sockets:
        sock.sendall(_request())

    assert [_answers(sock, 1) for sock in sockets] == [[200]] * 100
    assert len(events_queue.take(100)) == 100
    for sock in sockets:
        sock.close()
