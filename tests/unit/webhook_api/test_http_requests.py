"""Requests are parsed as RFC 9110 and RFC 9112 specify; the results are compared with those of h11."""

import tracemalloc

import h11
import pytest

from webhook_api.http.request import MAX_HEAD_BYTES, RequestReader
from webhook_api.http.wsgi import make_environ

BODY_BYTES = 1000
TEMPLATE = make_environ(("127.0.0.1", "8080"), ("127.0.0.1", "9"))


class Sink:
    """Collects the requests and refusals of a RequestReader, and counts how often it asks for a body."""

    def __init__(self, *, inviting=True, body_bytes=BODY_BYTES):
        self.answered = []
        self.refused = []
        self.invited = 0
        self._inviting = inviting
        self.reader = RequestReader(
            TEMPLATE,
            body_bytes,
            answer=lambda environ, keep_alive: self.answered.append((environ, keep_alive)),
            refuse=lambda response: self.refused.append(response.status),
            invite=self._invite,
        )

    def feed(self, data):
        self.reader.feed(memoryview(data))

    def _invite(self):
        self.invited += self._inviting
        return self._inviting

    @property
    def environ(self):
        [(environ, _)] = self.answered
        return environ


def read(data, *, step=None, sink=None):
    sink = sink or Sink()
    for start in range(0, len(data), step or len(data)):
        if not sink.refused:
            sink.feed(data[start : start + (step or len(data))])
    return sink


def by_h11(data):
    """Return the method, target, headers and body as h11 reads them, or None if h11 refuses the request."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    connection.receive_data(data)
    connection.receive_data(b"")
    request, body = None, b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    return request.method, request.target, dict(request.headers), body


def head(*lines, start="POST /a HTTP/1.1", host="Host: edge.test"):
    return "\r\n".join([start, *([host] if host else []), *lines, "", ""]).encode("latin-1")


CHUNKED = "Transfer-Encoding: chunked"

ACCEPTED = {
    "no body": head(start="GET /a?b=c HTTP/1.1"),
    "a body": head("Content-Length: 5") + b"hello",
    "a body of no bytes": head("Content-Length: 0"),
    "zeros before the length": head("Content-Length: 00005") + b"hello",
    "chunks": head(CHUNKED) + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "a chunk's extension": head(CHUNKED) + b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "trailers": head(CHUNKED) + b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "spaces around a value": head("X-Padded:  \t a b \t ", "Content-Length: 5") + b"hello",
    "an empty host": head(start="GET /a HTTP/1.1", host="Host:"),
    "a host with a port": head(start="GET /a HTTP/1.1", host="Host: [::1]:8080"),
    "HTTP/1.0 without a host": head(start="GET /a HTTP/1.0", host=None),
    "absolute form": head(start="GET http://edge.test/a HTTP/1.1"),
    "asterisk form": head(start="OPTIONS * HTTP/1.1"),
    "bytes above ASCII in a value": head("X-High: \xe9", start="GET /a HTTP/1.1"),
}

REFUSED = {
    "two lengths": (400, head("Content-Length: 5", "Content-Length: 6") + b"hello"),
    "two lengths in one": (400, head("Content-Length: 5, 6") + b"hello"),
    "a negative length": (400, head("Content-Length: -5") + b"hello"),
    "a length with a sign": (400, head("Content-Length: +5") + b"hello"),
    "a length in hexadecimal": (400, head("Content-Length: 0x5") + b"hello"),
    "the same host twice": (400, head("Host: edge.test", start="GET /a HTTP/1.1")),
    "a header without a name": (400, head(": a", start="GET /a HTTP/1.1")),
    "a method in brackets": (400, head(start="G(T /a HTTP/1.1")),
    "a length of 4,301 digits": (400, head(f"Content-Length: {'0' * 4301}")),
    "a length that overflows": (400, head(f"Content-Length: {'9' * 30}")),
    "another coding": (501, head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    "a coding that does not end": (501, head("Transfer-Encoding: gzip") + b"0\r\n\r\n"),
    "chunked twice": (400, head("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n"),
    "two codings": (400, head(CHUNKED, "Transfer-Encoding: identity") + b"0\r\n\r\n"),
    "a negative chunk": (400, head(CHUNKED) + b"-5\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than it says": (400, head(CHUNKED) + b"4\r\nhello\r\n0\r\n\r\n"),
    "no host": (400, head(start="GET /a HTTP/1.1", host=None)),
    "two hosts": (400, head("Host: other.test", start="GET /a HTTP/1.1")),
    "a space before the colon": (400, head("X-Space : a", start="GET /a HTTP/1.1")),
    "a header without a colon": (400, head("X-None", start="GET /a HTTP/1.1")),
    "a NUL in a value": (400, head("X-Nul: a\x00b", start="GET /a HTTP/1.1")),
    "a bare carriage return": (400, head("X-Bare: a\rb", start="GET /a HTTP/1.1")),
    "a space in the target": (400, head(start="GET /a b HTTP/1.1")),
    "no version": (400, b"GET /a\r\n\r\n"),
}

STRICTER = {
    "length and chunks": (400, head("Content-Length: 5", CHUNKED) + b"0\r\n\r\n"),
    "a folded header": (400, head("X-Folded: a", " b", start="GET /a HTTP/1.1")),
    "HTTP/0.9": (400, head(start="GET /a HTTP/0.9")),
    "the same length twice": (400, head("Content-Length: 5", "Content-Length: 5") + b"hello"),
    "chunks in HTTP/1.0": (400, head(CHUNKED, start="POST /a HTTP/1.0") + b"0\r\n\r\n"),
    "an invalid host": (400, head(start="GET /a HTTP/1.1", host="Host: a b")),
    "a host with a path": (400, head(start="GET /a HTTP/1.1", host="Host: a/b")),
    "bare line feeds": (400, b"GET /a HTTP/1.1\nHost: edge.test\n\n"),
    "HTTP/2.0": (505, head(start="GET /a HTTP/2.0")),
    "an upgrade": (400, head("Connection: Upgrade", "Upgrade: h2c", start="GET /a HTTP/1.1")),
    "a tunnel": (400, head(start="CONNECT edge.test:80 HTTP/1.1")),
    "more than the limit": (413, head(f"Content-Length: {BODY_BYTES + 1}")),
    "chunks over the limit": (413, head(CHUNKED) + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"),
}
"""Requests that we refuse although h11 accepts them or leaves the decision to its user."""


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_well_formed_request_is_read_as_h11_reads_it(kind, step):
    sink = read(ACCEPTED[kind], step=step)
    method, target, headers, body = by_h11(ACCEPTED[kind])
    environ = sink.environ
    assert sink.refused == []
    assert environ["REQUEST_METHOD"] == method.decode()
    assert environ["wsgi.input"].read() == body
    assert environ.get("CONTENT_LENGTH", "0").lstrip("0") == str(len(body)).lstrip("0")
    for name, value in headers.items():
        key = "HTTP_" + name.decode().upper().replace("-", "_")
        if key not in {"HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"}:
            assert environ[key] == value.decode("latin-1")
    assert environ["PATH_INFO"] == ("/a" if b"/a" in target else "*")


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("kind", [*REFUSED, *STRICTER])
def test_a_request_that_is_malformed_ambiguous_or_unsupported_is_refused(kind, step):
    status, data = (REFUSED | STRICTER)[kind]
    assert kind in STRICTER or by_h11(data) is None
    sink = read(data, step=step)
    assert sink.refused[:1] == [status]
    assert sink.answered == []


def test_an_empty_line_before_a_request_is_ignored():
    assert read(b"\r\n" + head()).environ["PATH_INFO"] == "/a"


def test_the_first_of_two_headers_with_the_same_name_is_used():
    environ = read(head("X-Sig: first", "X-Sig: second", start="GET /a HTTP/1.1")).environ
    assert environ["HTTP_X_SIG"] == "first"


@pytest.mark.parametrize("name", ["X_Hub_Signature_256", "X-Hub_Signature-256", "X_HUB-SIGNATURE-256"])
def test_a_header_with_an_underscore_in_its_name_is_ignored(name):
    data = head(f"{name}: forged", start="GET /a HTTP/1.1")
    assert "HTTP_X_HUB_SIGNATURE_256" not in read(data).environ
    genuine = head(f"{name}: forged", "X-Hub-Signature-256: genuine", start="GET /a HTTP/1.1")
    assert read(genuine).environ["HTTP_X_HUB_SIGNATURE_256"] == "genuine"


@pytest.mark.parametrize("step", [None, 1])
def test_a_trailer_is_not_read_as_a_header(step):
    trailers = b"X-Hub-Signature-256: late\r\nHost: other.test\r\n"
    environ = read(head(CHUNKED) + b"2\r\n{}\r\n0\r\n" + trailers + b"\r\n", step=step).environ
    assert "HTTP_X_HUB_SIGNATURE_256" not in environ
    assert (environ["HTTP_HOST"], environ["CONTENT_LENGTH"]) == ("edge.test", "2")


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (b"GET /a HTTP/1.1\r\nX: ", b"y" * 1000),
        (head(CHUNKED) + b"0\r\nX: ", b"y" * 1000),
        (head(CHUNKED) + b"0\r\n", b"X-Many: y\r\n" * 100),
        (head(CHUNKED) + b"2;x=", b"y" * 1000),
    ],
    ids=["head", "trailer", "trailers", "extension of a chunk"],
)
def test_an_endless_head_or_trailer_is_refused_at_the_limit(start, rest):
    sink = Sink()
    sink.feed(start)
    fed = 0
    while not sink.refused and fed < 10 * MAX_HEAD_BYTES:
        sink.feed(rest)
        fed += len(rest)
    assert sink.refused == [431]
    assert fed <= MAX_HEAD_BYTES + len(rest)


@pytest.mark.parametrize("before", [b"", head()], ids=["first", "pipelined"])
@pytest.mark.parametrize("split", [0, 1, MAX_HEAD_BYTES // 2, MAX_HEAD_BYTES])
@pytest.mark.parametrize("surplus", [0, 1, MAX_HEAD_BYTES // 4])
def test_the_limit_of_a_head_does_not_depend_on_its_split_into_reads(surplus, split, before):
    empty = head("X: ", start="GET /a HTTP/1.1")
    data = head("X: " + "y" * (MAX_HEAD_BYTES - len(empty) + surplus), start="GET /a HTTP/1.1")
    sink = Sink()
    if before:
        sink.feed(before)
    for part in (data[:split], data[split:]):
        sink.feed(part)
    assert sink.refused[:1] == ([431] if surplus else [])
    assert len(sink.answered) == bool(before) + (not surplus)


def test_a_body_in_small_chunks_takes_less_than_twice_its_size_in_memory():
    size = 200_000
    sink = Sink(body_bytes=size)
    sink.feed(head(CHUNKED))
    tracemalloc.start()
    try:
        for _ in range(size // 2):
            sink.feed(b"2\r\nxy\r\n")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    sink.feed(b"0\r\n\r\n")
    assert used < 2 * size
    assert sink.environ["wsgi.input"].read() == b"xy" * (size // 2)


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("/a%2Fb%20c?d=%20", "edge.test", "/a/b c", "d=%20"),
        ("http://other.test:81/a/b?c", "other.test:81", "/a/b", "c"),
        ("HTTPS://other.test?c", "other.test", "/", "c"),
        ("http://user@other.test/", "other.test", "/", ""),
    ],
)
def test_the_request_target_is_split_and_its_host_overrides_the_host_header(target, host, path, query):
    environ = read(head(start=f"GET {target} HTTP/1.1")).environ
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (host, path, query)


@pytest.mark.parametrize(
    ("data", "keep_alive"),
    [
        (head(), True),
        (head("Connection: close"), False),
        (head(start="GET /a HTTP/1.0"), False),
        (head("Connection: keep-alive", start="GET /a HTTP/1.0"), True),
    ],
)
def test_the_sender_decides_whether_the_connection_stays_open(data, keep_alive):
    assert [kept for _, kept in read(data).answered] == [keep_alive]


@pytest.mark.parametrize(
    ("length", "invited", "refused"), [(2, 1, []), (BODY_BYTES + 1, 0, [413])], ids=["allowed", "too large"]
)
def test_a_sender_that_expects_100_continue_gets_it_or_a_refusal_before_the_body(length, invited, refused):
    sink = read(head("Expect: 100-continue", f"Content-Length: {length}"))
    assert (sink.invited, sink.answered, sink.refused) == (invited, [], refused)


def test_a_sender_that_does_not_get_100_continue_is_answered_without_its_body():
    sink = read(head("Expect: 100-continue", "Content-Length: 2") + b"{}", sink=Sink(inviting=False))
    [(environ, keep_alive)] = sink.answered
    assert (sink.invited, keep_alive) == (0, False)
    with pytest.raises(OSError, match="not requested"):
        environ["wsgi.input"].read()


def test_a_requests_target_does_not_depend_on_earlier_requests_on_its_connection():
    targets = ("/a?b=c", "/a?b=c", "http://other.test/d", "/a?b=c", "/e")
    sink = read(b"".join(head(start=f"GET {target} HTTP/1.1") for target in targets))
    seen = [
        (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_HOST"]) for environ, _ in sink.answered
    ]
    a = ("/a", "b=c", "edge.test")
    assert seen == [a, a, ("/d", "", "other.test"), a, ("/e", "", "edge.test")]
