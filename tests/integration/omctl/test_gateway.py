"""The gateway's configuration is tested in a real nginx with real TLS in front of a real edge."""

import queue
import re
import resource
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import psutil
import pytest
import requests
from flask import Flask, request

from omctl.look.edge import check_certificate
from omctl.look.findings import Level
from simulator.serving import serve_app
from tests.gateway import Gateway
from tests.servers import LOOPBACK, ensure_nginx
from tests.services import WEBHOOK_PATH, Edge, Service, declare_topology, running, signature
from tests.waiting import wait_until

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
CUTOVER = OPERATIONS.with_name("cutover.md")
BODY = b'{"eventType": "openmessaging:conversation:new", "n": 1.0}'
BALANCED = f"set_real_ip_from {LOOPBACK}; real_ip_header X-Forwarded-For;"


@pytest.fixture(scope="module")
def edge(rabbitmq, tmp_path_factory):
    with another_edge(rabbitmq, tmp_path_factory.mktemp("edge")) as edge:
        yield edge


@pytest.fixture(scope="module")
def gateway(edge, tmp_path_factory):
    with another_gateway(tmp_path_factory.mktemp("gateway"), edge) as gateway:
        yield gateway


@contextmanager
def another_edge(rabbitmq, directory, **settings):
    """Declare all queues on a broker, and start an edge that uses that broker."""
    with rabbitmq.make_vhost() as vhost:
        declare_topology(vhost.amqp_url)
        edge = Edge(Service(directory, vhost.amqp_url, rabbitmq.management_url if settings else "", settings))
        with running(edge):
            edge.start()
            yield edge


@contextmanager
def another_gateway(directory, edge, **changes):
    """Start a gateway with changes to the shipped configuration."""
    ensure_nginx()
    directory.mkdir(exist_ok=True)
    gateway = Gateway(directory, f"{LOOPBACK}:{edge.port}", **changes)
    with running(gateway):
        gateway.start()
        yield gateway


def accepted(edge):
    return sum(process["journal"]["accepted"] for process in edge.health()["processes"])


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (BODY, {}, 200),
        (b"x" * (1024 * 1024), {}, 200),
        (b"x" * (1024 * 1024 + 1), {}, 413),
        (BODY, {"X-Hub-Signature-256": "sha256=none"}, 401),
    ],
    ids=["signed", "at the limit", "above the limit", "forged"],
)
def test_a_body_above_the_limit_is_refused_before_it_reaches_the_edge(gateway, edge, body, headers, status):
    before = accepted(edge)
    answer = gateway.post(body, **headers)
    assert (answer.status_code, "Retry-After" in answer.headers) == (status, False)
    assert accepted(edge) - before == (status == 200)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/health/ready", "/metrics", "/webhooks/genesys", "/webhooks/genesys/x",
        "/webhooks//genesys/openmessaging", "//webhooks/genesys/openmessaging", "/webhooks/genesys/events/",
    ],
)  # fmt: skip
def test_only_the_webhook_path_can_be_reached_from_outside(gateway, path):
    assert requests.get(gateway.url + path, verify=gateway.certificate, timeout=10).status_code == 404


def test_operators_reach_the_status_page_through_the_gateway_with_a_login(edge, tmp_path):
    [snippet] = re.findall(r"```nginx\n(location .*?)```", OPERATIONS.read_text(), re.DOTALL)
    hashed = subprocess.run(["openssl", "passwd", "-apr1", "secret"], check=True, capture_output=True)
    operators = tmp_path / "operators"
    operators.write_text(f"jo:{hashed.stdout.decode()}")
    answers = Flask(__name__)
    answers.add_url_rule("/ops", view_func=lambda: f"{request.host} {request.authorization}")
    with serve_app(answers) as url:
        host = url.removeprefix("http://")
        local = snippet.replace("/etc/nginx/open-messaging-operators", str(operators))
        local = local.replace("127.0.0.1:9464", host)
        with another_gateway(tmp_path / "gateway", edge, local=local) as gateway:

            def get(path, **options):
                return requests.get(gateway.url + path, verify=gateway.certificate, timeout=10, **options)

            assert [get("/ops").status_code, get("/ops", auth=("jo", "wrong")).status_code] == [401, 401]
            assert get("/ops", auth=("jo", "secret")).text == f"{host} None"
            assert get("/opsx", auth=("jo", "secret")).status_code == 404
            assert gateway.post(BODY).status_code == 200


def test_sending_a_copy_to_the_guides_code_does_not_change_the_edges_answer(edge, tmp_path):
    [mirror] = re.findall(r"```nginx\n(.*?)```", CUTOVER.read_text(), re.DOTALL)
    copies = queue.SimpleQueue()
    old_code = Flask(__name__)

    @old_code.post(WEBHOOK_PATH)
    def receive():
        copies.put((request.get_data(), request.headers["X-Hub-Signature-256"]))
        return "the guide's code is broken", 500

    with serve_app(old_code) as url:
        local = mirror.replace("http://192.0.2.10:8000", url)
        with another_gateway(tmp_path, edge, local=local) as gateway:
            assert gateway.post(BODY).status_code == 200
            assert copies.get(timeout=10) == (BODY, signature(BODY))
            inside = requests.get(gateway.url + "/guide-code", verify=gateway.certificate, timeout=10)
            assert inside.status_code == 404
    with another_gateway(tmp_path / "alone", edge, local=local) as gateway:
        before = accepted(edge)
        assert gateway.post(BODY).status_code == 200
        assert accepted(edge) == before + 1
    assert copies.empty()


@pytest.mark.parametrize(
    ("version", "suites", "is_accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_2, "ALL:@SECLEVEL=0", True),
        (ssl.TLSVersion.TLSv1_3, "ALL:@SECLEVEL=0", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+CHACHA20", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AES:!AESGCM", False),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_only_tls_1_2_and_1_3_are_accepted(gateway, version, suites, is_accepted):
    context = ssl.create_default_context(cafile=gateway.certificate)
    context.set_ciphers(suites)
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((LOOPBACK, gateway.port), timeout=10) as plain,
        nullcontext() if is_accepted else pytest.raises((ssl.SSLError, OSError)),
    ):
        context.wrap_socket(plain, server_hostname=LOOPBACK).close()


@pytest.mark.parametrize(
    ("days", "level", "text"),
    [
        (0, Level.PROBLEM, "has a certificate that has expired"),
        (13, Level.PROBLEM, "valid for 13 more days"),
        (16, Level.OK, "valid for 16 more days"),
    ],
)
def test_check_reports_a_certificate_that_expires_within_14_days(  # noqa: PLR0917  # a table
    edge, tmp_path, monkeypatch, days, level, text
):
    with another_gateway(tmp_path, edge, days=days) as gateway:
        [untrusted] = check_certificate(gateway.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(gateway.certificate))
        [trusted] = check_certificate(gateway.url + WEBHOOK_PATH)
    assert (trusted.level, text in trusted.text) == (level, True)
    [silent] = check_certificate(gateway.url.replace("https://", "https://user:a-password@"))
    [malformed] = check_certificate("https://hooks.example:99999/")
    assert {found.level for found in (untrusted, silent, malformed)} == {Level.NOTE}
    assert "a-password" not in silent.subject
    assert list(check_certificate("http://127.0.0.1:8080")) == []


def test_a_reload_of_the_edge_causes_no_error(rabbitmq, tmp_path):
    """gunicorn replaces its processes, so nginx finds that some of its connections to them are closed."""
    answers = []
    # Use a separate edge, because both the old and the new processes report their counts for a while.
    with another_edge(rabbitmq, tmp_path) as edge, another_gateway(tmp_path / "gateway", edge) as gateway:
        for _ in range(40):
            answers.append(gateway.post(BODY).status_code)
            if len(answers) == 10:
                edge.send(signal.SIGHUP)
    assert set(answers) == {200}


SLOW = {"rate=2000r/s": "rate=1r/m", "burst=4000": "burst=1"}
SLOW_IN_ALL = {"rate=10000r/s": "rate=1r/m", "burst=10000": "burst=1"}


@pytest.mark.parametrize(
    ("limit", "network", "statuses"),
    [
        (SLOW, "192.0.2.1", [200, 200, 429, 429]),
        (SLOW, "2001:db8:0:1::{}", [200, 200, 429, 429]),
        (SLOW, "2001:db8:0:{}::1", [200] * 4),
        (SLOW, "203.0.113.{}", [200] * 4),
        (SLOW_IN_ALL, "203.0.113.{}", [200, 200, 429, 429]),
        (SLOW_IN_ALL, "192.0.2.{}", [200] * 4),
    ],
)
def test_a_sender_or_ipv6_network_above_its_rate_gets_429_and_all_unlisted_senders_share_a_limit(
    edge, tmp_path, limit, network, statuses
):
    listed, before = "geo $om_from_platform { default 0; 192.0.2.0/24 1; }", accepted(edge)
    with another_gateway(tmp_path, edge, addresses=listed, local=BALANCED, **limit) as gateway:
        answers = [
            gateway.post(BODY, **{"X-Forwarded-For": network.format(number)}) for number in range(1, 5)
        ]
    assert [answer.status_code for answer in answers] == statuses
    assert {answer.headers["Retry-After"] for answer in answers if answer.status_code == 429} <= {"1"}
    assert accepted(edge) - before == statuses.count(200)


@pytest.fixture(scope="module")
def gateway_without_list(edge, tmp_path_factory):
    """A gateway that limits loopback addresses like all other addresses."""
    unlisted = "geo $om_from_platform { default unknown; }"
    with another_gateway(tmp_path_factory.mktemp("unlisted"), edge, addresses=unlisted) as gateway:
        yield gateway


HEAD = f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n".encode()


@pytest.mark.parametrize("addresses", [1, 20])
@pytest.mark.parametrize("sent", [HEAD + b"x", b"P", b""], ids=["body", "head", "handshake"])
def test_slow_senders_do_not_block_other_connections(gateway_without_list, sent, addresses):
    """The test opens 1,000 slow connections, more than the 768 that Debian's nginx.conf allows."""
    with slow_connections(gateway_without_list.port, sent, 1000, addresses):
        answers = [gateway_without_list.post(BODY).status_code for _ in range(5)]
    assert answers == [200] * 5


def test_the_number_of_one_senders_concurrent_requests_is_limited(gateway_without_list):
    with slow_connections(gateway_without_list.port, HEAD + b"x", 128, 1):
        first, second = (
            status_for(address, gateway_without_list.port) for address in ("127.0.1.1", "127.0.1.2")
        )
    assert (first, second) == (429, 401)


REFUSED = HEAD.replace(WEBHOOK_PATH.encode(), b"/x") + b"x"


@pytest.mark.parametrize(
    ("sent", "is_sending", "seconds"),
    [(b"P", False, 5.0), (HEAD + b"x", False, 5.0), (REFUSED, True, 5.0), (REFUSED, False, 1.0)],
    ids=["head", "body", "refused and sending", "refused and silent"],
)
def test_a_slow_sender_is_disconnected_even_if_its_request_is_not_subject_to_a_limit(
    gateway_without_list, sent, is_sending, seconds
):
    gateway = gateway_without_list
    with connected("127.0.3.1", gateway.port) as plain, encrypted(plain) as connection:
        source, began = connection.getsockname()[1], time.monotonic()
        connection.sendall(sent)
        while holds(gateway, source) and time.monotonic() - began < 2 * seconds + 2.0:
            time.sleep(0.2)
            with suppress(OSError):
                connection.sendall(b"x" * is_sending)
        assert seconds - 1.0 < time.monotonic() - began < 1.5 * seconds + 1.5


def test_an_incomplete_body_is_kept_in_a_file_instead_of_in_memory(gateway_without_list):
    bodies = f"{gateway_without_list.directory}/body/"

    def open_bodies():
        workers = psutil.Process(gateway_without_list.pid).children()
        descriptors = [path for worker in workers for path in Path(f"/proc/{worker.pid}/fd").iterdir()]
        return [path for path in descriptors if bodies in str(path.readlink())]

    with slow_connections(gateway_without_list.port, HEAD + bytes(17 * 1024), 1, 1):
        wait_until(open_bodies)


def holds(gateway, source):
    """Return whether nginx has an open connection from the port *source*."""
    workers = psutil.Process(gateway.pid).children()
    connections = [connection for worker in workers for connection in worker.net_connections("tcp")]
    return any(connection.raddr and connection.raddr.port == source for connection in connections)


@contextmanager
def slow_connections(port, sent, number, addresses):
    """Open connections that complete a TLS handshake and send *sent*, or only connect if *sent* is empty."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with ExitStack() as stack:
        for count in range(number):
            plain = stack.enter_context(connected(f"127.0.1.{count % addresses + 1}", port))
            if sent:
                stack.enter_context(encrypted(plain)).sendall(sent)
        yield


def status_for(address, port):
    """Return the status of the answer to an unsigned request from an address."""
    with connected(address, port) as plain, encrypted(plain) as connection:
        connection.sendall(HEAD.replace(b"1048576", b"0"))
        return int(connection.recv(12).split()[1])


def connected(address, port):
    return socket.create_connection((LOOPBACK, port), timeout=10, source_address=(address, 0))


# All connections share this context: loading the system's certificate authorities is slower than a handshake.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


def encrypted(plain):
    return UNVERIFIED.wrap_socket(plain)


def test_a_flood_of_requests_that_nginx_refuses_does_not_fill_the_disk_with_log_lines(edge, tmp_path):
    def send(path, number):
        """Send many requests on one connection, and wait for the answers."""
        with connected(LOOPBACK, gateway.port) as plain, encrypted(plain) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode() * number)
            answers = b""
            while answers.count(b"HTTP/1.1 ") < number:
                answers += connection.recv(65536)

    slow = {"rate=2000r/s": "rate=1r/m", "burst=4000": "burst=49"}
    with another_gateway(tmp_path, edge, **slow) as gateway:
        send("/x", 300)
        send(WEBHOOK_PATH, 350)
        gateway.logged()
    statuses = Counter(line.split()[3] for line in (tmp_path / "open-messaging.log").read_text().splitlines())
    # Every answer from the edge (401) is logged, but nginx's 300 refusals of each kind are only sampled.
    assert statuses["401"] == 50
    assert statuses["404"] < 30
    assert statuses["429"] < 30
    assert "limiting requests" not in (tmp_path / "error.log").read_text()


def test_a_429_of_the_edge_is_passed_on_with_its_retry_after(rabbitmq, tmp_path):
    settings = {"OM_QUEUE_DEPTH_HIGH": "2", "OM_QUEUE_DEPTH_LOW": "1", "OM_RETRY_AFTER_MAX_SECONDS": "7"}
    with (
        another_edge(rabbitmq, tmp_path, **settings) as full,
        another_gateway(tmp_path / "gateway", full) as gateway,
    ):
        deadline = time.monotonic() + 30
        while (answer := gateway.post(BODY)).ok and time.monotonic() < deadline:
            time.sleep(0.1)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 7


@pytest.mark.parametrize(
    ("listed", "sender", "status", "known"),
    [
        ("default 0; 203.0.113.0/24 1;", "203.0.113.7", 200, "1"),
        ("default 0; 203.0.113.0/24 1;", "192.0.2.7", 403, "0"),
        # While no list exists, no address is refused.
        (None, "203.0.113.7", 200, "unknown"),
    ],
)
def test_the_enforced_list_admits_only_listed_senders_and_the_log_shows_the_result(  # noqa: PLR0917  # a table
    edge, tmp_path, listed, sender, status, known
):
    # Log every refusal by nginx, not just one in a hundred.
    changes = {"1% 1;": "100% 1;"}
    changes |= {"addresses": f"geo $om_from_platform {{ {listed} }}"} if listed else {}
    with another_gateway(tmp_path, edge, local=BALANCED, platform_only=True, **changes) as gateway:
        assert gateway.post(BODY, **{"X-Forwarded-For": sender}).status_code == status
        line = gateway.logged()
    assert line.startswith(f"{sender} ")
    assert f" POST {status} " in line
    assert f"platform={known}" in line
