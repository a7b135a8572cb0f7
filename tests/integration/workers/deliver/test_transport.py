"""A request to a destination is sent once, through the proxy if there is one, and its result has a reason."""

import base64
import ssl
import subprocess
import time
from datetime import UTC, datetime

import pytest

from messaging.clock import SystemClock
from tests.integration.workers.socket_server import server
from tests.servers import LOOPBACK
from workers.deliver import Transport, WebhookMessage
from workers.deliver.destinations import Destination

SECRET = "whsec_" + base64.b64encode(b"constructed-secret-of-32-bytes-0").decode()
MESSAGE = WebhookMessage(1, "c", "x", datetime.now(tz=UTC), 1, late=False, verified=None, payload=b"{}")
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
LONG = 1_000_000


@pytest.fixture(autouse=True)
def _without_a_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def make_transport(url, **options):
    return Transport(
        Destination(name="crm", url=url, secrets=(SECRET,), events=("x",), **options), SystemClock()
    )


def recording(requests, answer):
    """Answer each request on a connection with the same bytes, and record the requests."""

    def serve(accepted):
        requests.append([])
        while request := accepted.recv(65_536):
            requests[-1].append(request)
            accepted.sendall(answer)

    return serve


def closes(accepted):
    accepted.recv(65_536)


def is_silent(accepted):
    while accepted.recv(65_536):
        pass


def is_no_server_of_http(accepted):
    accepted.recv(65_536)
    accepted.sendall(b"220 mail server\r\n")


def drips(accepted):
    accepted.recv(65_536)
    accepted.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        accepted.sendall(b"1\r\nx\r\n")
        time.sleep(0.2)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A file with a certificate for this host, which no authority has signed, and its key."""
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    names = ["-subj", "/CN=crm", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    command = ["openssl", "req", *kind, *names, "-keyout", path, "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    return path


def over_tls(certificate, answer):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(accepted):
        with context.wrap_socket(accepted, server_side=True) as secured:
            answer(secured)

    return serve


@pytest.mark.parametrize("before", ["", " ", "\n"])
def test_an_unknown_certificate_is_refused_unless_it_is_configured(certificate, monkeypatch, before):
    answer = recording([], NO_CONTENT)
    with server(over_tls(certificate, answer)) as port:
        url = f"{before}https://{LOOPBACK}:{port}/"
        assert make_transport(url).send(MESSAGE).reason == "tls"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert make_transport(url).send(MESSAGE).status == 204


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", 103),
        (f"HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n".encode() + b"x" * LONG, 200),
    ],
    ids=["interim", "long"],
)
def test_an_interim_or_long_answer_costs_its_connection_and_not_its_status(answer, status):
    """The final answer after an interim one must not count as the answer to the next event."""
    connections = []
    with server(recording(connections, answer)) as port:
        transport = make_transport(f"http://{LOOPBACK}:{port}/")
        assert [transport.send(MESSAGE).status for _ in range(2)] == [status, status]
    assert len(connections) == 2


def test_a_destination_that_answers_byte_by_byte_does_not_occupy_a_thread():
    with server(drips) as port:
        began = time.monotonic()
        assert make_transport(f"http://{LOOPBACK}:{port}/", timeout=2.0).send(MESSAGE).status == 200
        assert time.monotonic() - began < 10.0


@pytest.mark.parametrize(
    ("answer", "scheme", "reason"),
    [
        (closes, "http", "connection"),
        (is_silent, "http", "timeout"),
        (is_silent, "https", "timeout"),
        (is_no_server_of_http, "http", "connection"),
        (is_no_server_of_http, "https", "tls"),
    ],
)
def test_a_request_without_an_answer_has_a_reason(answer, scheme, reason):
    with server(answer) as port:
        timeout = 0.5 if reason == "timeout" else 10.0
        result = make_transport(f"{scheme}://{LOOPBACK}:{port}/", timeout=timeout).send(MESSAGE)
    assert (result.status, result.reason) == (None, reason)


@pytest.mark.parametrize("host", [f"{LOOPBACK}:9", "no-such-host.invalid"])
def test_a_destination_without_a_server_has_a_reason(host):
    assert make_transport(f"http://{host}/").send(MESSAGE).reason == "connection"


@pytest.mark.parametrize(
    ("scheme", "proxy", "reason"),
    [
        *[(scheme, f"http://{LOOPBACK}:9", "proxy") for scheme in ("http", "https")],
        ("http", "http://", "request"),
    ],
)
def test_a_proxy_that_is_away_or_has_a_wrong_address_is_the_reason(monkeypatch, scheme, proxy, reason):
    monkeypatch.setenv(f"{scheme}_proxy", proxy)
    assert make_transport(f"{scheme}://crm.example/").send(MESSAGE).reason == reason


def test_a_proxy_gets_the_whole_address_and_its_password(monkeypatch):
    connections = []
    with server(recording(connections, NO_CONTENT)) as port:
        monkeypatch.setenv("http_proxy", f"http://user:word@{LOOPBACK}:{port}")
        assert make_transport("http://crm.example/path?a=b").send(MESSAGE).status == 204
    [[request]] = connections
    head = request.partition(b"\r\n\r\n")[0].decode().splitlines()
    assert head[0] == "POST http://crm.example/path?a=b HTTP/1.1"
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'user:word').decode()}" in head


def test_requests_share_a_connection_and_keep_no_cookies_and_follow_no_redirect():
    headers = "Location: /other", "Set-Cookie: a=b", "Retry-After: 7", "Content-Length: 2"
    answer = "\r\n".join(["HTTP/1.1 302 Found", *headers, "", "ok"]).encode()
    connections = []
    with server(recording(connections, answer)) as port:
        transport = make_transport(f"http://user:word@{LOOPBACK}:{port}/")
        results = [transport.send(MESSAGE) for _ in range(3)]
    assert [(result.status, result.retry_after) for result in results] == [(302, 7.0)] * 3
    [requests] = connections
    for request in requests:
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
        assert "cookie" not in {name.lower() for name in headers}
        assert headers["Authorization"] == f"Basic {base64.b64encode(b'user:word').decode()}"
        assert int(headers["Content-Length"]) == len(body)
