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


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=" + "0" * 64,
        signature(BODY)[:-4],
        signature(BODY, "another-secret-0123456789"),
        signature(json.dumps(json.loads(BODY)).encode()),
        "sha256=é",
    ],
)
def test_an_event_without_the_right_signature_is_answered_401_and_not_queued(url, header, events_queue):
    answer = post(url, BODY, X_Hub_Signature_256=header.encode("latin-1"))

    assert answer.status_code == 401
    assert events_queue.is_empty()


def test_an_empty_body_with_the_right_signature_is_answered_400(url, events_queue):
    assert post(url, b"").status_code == 400
    assert events_queue.is_empty()


def test_an_empty_body_without_a_signature_is_answered_401(url):
    assert post(url, b"", X_Hub_Signature_256="").status_code == 401


def test_a_body_over_the_limit_is_answered_413_and_the_connection_closed(url, events_queue):
    answer = post(url, b"x" * (MEBIBYTE + 1))

    assert answer.status_code == 413
    assert answer.headers["Connection"] == "close"
    assert events_queue.is_empty()


def test_a_body_at_the_limit_is_accepted(url, events_queue):
    body = b"x" * MEBIBYTE

    assert post(url, body).status_code == 200
    assert [queued for _, queued in events_queue.take(1)] == [body]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_the_content_type_does_not_matter(url, content_type, events_queue):
    assert post(url, BODY, Content_Type=content_type).status_code == 200
    assert [queued for _, queued in events_queue.take(1)] == [BODY]


def test_a_chunked_body_is_put_together(url, events_queue):
    headers = {"X-Hub-Signature-256": signature(BODY)}

    answer = requests.post(url, data=iter([BODY[:10], BODY[10:]]), headers=headers, timeout=10)

    assert answer.status_code == 200
    assert [queued for _, queued in events_queue.take(1)] == [BODY]


def test_a_chunked_body_over_the_limit_is_answered_413(url, events_queue):
    chunks = (b"x" * 65536 for _ in range(40))

    answer = requests.post(url, data=chunks, headers={"X-Hub-Signature-256": "sha256="}, timeout=10)

    assert answer.status_code == 413
    assert events_queue.is_empty()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_answered_405(url, method):
    assert requests.request(method, url, timeout=10).status_code == 405


def test_another_path_is_answered_404(url):
    assert post(url + "/more", BODY).status_code == 404


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
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_what_is_not_http_is_answered_400_and_closed(raw, garbage):
    raw.sendall(garbage)

    assert raw.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert raw.recv(10) == b""


def test_a_head_without_end_is_cut_off(raw):
    raw.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000)

    assert raw.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_a_hundred_clients_at_once_each_get_their_answer(module_edge, events_queue):
    sockets = [socket.create_connection(("127.0.0.1", module_edge.port), timeout=10) for _ in range(100)]
    for sock in sockets:
        sock.sendall(_request())

    assert [_answers(sock, 1) for sock in sockets] == [[200]] * 100
    assert len(events_queue.take(100)) == 100
    for sock in sockets:
        sock.close()
