"""The short path to the view gives each kind of request the response that Flask's dispatch would give."""

import json
import socket
import time

import pytest
import requests

from tests.services import SECRET, WEBHOOK_PATH, post, signature

BODY = b'{"eventType":"openmessaging:conversation:new"}'
MEBIBYTE = 1024 * 1024


@pytest.fixture(params=["short path", "Flask's dispatch"])
def edge(request):
    """An edge without extensions, or with a hook and a middleware."""
    return request.getfixturevalue("module_edge" if request.param == "short path" else "extended_edge")


@pytest.fixture
def url(edge):
    return edge.url


def test_a_signed_event_is_answered_200_and_queued_unchanged(url, events_queue):
    """Guarantee 6.3."""
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
def test_a_refused_request_gets_its_status_and_is_not_queued(url, body, header, status, events_queue):
    answer = post(url, body, X_Hub_Signature_256=header.encode("latin-1"))
    assert answer.status_code == status
    assert answer.headers["Connection"] == "close" or status != 413
    assert events_queue.is_empty()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(BODY, "text/plain"), (BODY, "application/x-www-form-urlencoded"), (b"x" * MEBIBYTE, "nonsense")],
)
def test_a_body_up_to_the_limit_is_accepted_with_any_content_type(url, body, content_type, events_queue):
    assert post(url, body, Content_Type=content_type).status_code == 200
    assert [queued for _, queued in events_queue.take(1)] == [body]


def test_an_eventbridge_event_is_queued_unchanged(module_edge, events_queue):
    url = module_edge.url.replace(WEBHOOK_PATH, "/webhooks/genesys/events")
    answer = requests.post(url, data=BODY, headers={"X-Api-Key": SECRET}, timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    assert [queued for _, queued in events_queue.take(1)] == [BODY]


def _counts(answer):
    return [int(answer.headers[f"X-Seen-By-{seen_by}"]) for seen_by in ("Hook", "Middleware")]


def test_an_installed_hook_and_middleware_count_every_request(extended_edge, events_queue):
    by_hook, by_middleware = _counts(requests.get(f"{extended_edge.url}/nothing", timeout=10))
    answers = [post(extended_edge.url, b'{"n":%d}' % number) for number in range(20)]
    answers.append(post(extended_edge.url, b"{}", X_Hub_Signature_256=""))
    assert [answer.status_code for answer in answers] == [200] * 20 + [401]
    assert list(map(_counts, answers)) == [[by_hook + n, by_middleware + n] for n in range(1, 22)]
    assert len(events_queue.take(20)) == 20


def test_a_refusal_is_logged_with_its_reason_and_without_the_body(edge):
    post(edge.url, b'{"text":"not to be read"}', X_Hub_Signature_256="sha256=" + "0" * 64)
    log = edge.log.read_text()
    assert '"reason": "signature is hex, not base64"' in log
    assert "not to be read" not in log


# The following tests send requests that no client library can send.


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


def test_a_slow_request_does_not_delay_another_request(raw, module_edge, events_queue):
    """Guarantee 1.3."""
    request = _request()
    raw.sendall(request[:50])
    assert post(module_edge.url, b'{"other":1}').status_code == 200
    for position in range(50, len(request)):
        raw.sendall(request[position : position + 1])
    assert _answers(raw, 1) == [200]
    assert len(events_queue.take(2)) == 2


def test_pipelined_requests_are_answered_in_order_until_one_asks_to_close_the_connection(raw, events_queue):
    raw.sendall(_request() + _request(b"") + _request(extra="Connection: close\r\n"))
    assert _answers(raw, 3) == [200, 400, 200]
    assert raw.recv(10) == b""
    assert len(events_queue.take(2)) == 2


def test_a_client_that_expects_100_continue_receives_it(raw, events_queue):
    request = _request(extra="Expect: 100-continue\r\n")
    raw.sendall(request[: -len(BODY)])
    assert raw.recv(65536).startswith(b"HTTP/1.1 100 Continue")
    raw.sendall(BODY)
    assert _answers(raw, 1) == [200]
    assert len(events_queue.take(1)) == 1


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000, 431),
    ],
    ids=["TLS", "ambiguous", "an endless head"],
)
def test_a_malformed_request_is_answered_with_its_status_and_its_connection_is_closed(raw, garbage, status):
    raw.sendall(garbage)
    assert raw.recv(65536).startswith(b"HTTP/1.1 %d " % status)
    if status == 400:
        assert raw.recv(10) == b""
