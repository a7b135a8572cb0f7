"""The gateway as it is installed: a real nginx with real TLS before a real edge."""

import signal
import socket
import ssl
import subprocess

import pytest
import requests

from omctl.installing import Options
from omctl.installing.gateway import EVERYBODY, site
from tests.servers import LOOPBACK, ServerProcess, ensure_nginx, free_port, nginx
from tests.services import WEBHOOK_PATH, Edge, Service, declare_topology, running, signature

BODY = b'{"eventType": "openmessaging:conversation:new", "n": 1.0}'
MAIN = """\
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{}}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""


class Gateway(ServerProcess):
    """nginx with the shipped configuration, its ports and paths in a directory of its own."""

    def __init__(self, directory, bind):
        super().__init__("nginx", directory / "nginx.log")
        self.directory = directory
        self.port = free_port()
        self.certificate = directory / "certificate.pem"
        key = directory / "key.pem"
        names = ["-subj", "/CN=hooks.example.com", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        made = ["-keyout", key, "-out", self.certificate]
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        subprocess.run(["openssl", "req", *kind, *made, *names], check=True, capture_output=True)
        (directory / "addresses.conf").write_text(EVERYBODY)
        text = site(Options(bind=bind, certificate=(self.certificate, key)))
        for ours, here in {
            "listen 443": f"listen {LOOPBACK}:{self.port}",
            "listen [::]:443 ssl;": "",
            "/etc/nginx/open-messaging-addresses.conf": f"{directory}/addresses.conf",
            "/var/log/nginx/": f"{directory}/",
        }.items():
            assert ours in text
            text = text.replace(ours, here)
        (directory / "site.conf").write_text(text)
        (directory / "nginx.conf").write_text(MAIN.format(directory=directory))

    @property
    def url(self):
        return f"https://{LOOPBACK}:{self.port}"

    def start(self):
        command = [nginx(), "-c", str(self.directory / "nginx.conf")]
        self.launch(command, environment={"PATH": "/usr/sbin:/usr/bin"}, directory=self.directory)
        self.wait_until(self._listens, timeout=20.0)

    def post(self, body, path=WEBHOOK_PATH, **headers):
        return requests.post(
            self.url + path,
            data=body,
            headers={"X-Hub-Signature-256": signature(body), **headers},
            verify=self.certificate,
            timeout=10,
        )

    def _listens(self):
        with socket.socket() as client:
            return client.connect_ex((LOOPBACK, self.port)) == 0


@pytest.fixture(scope="module")
def edge(rabbitmq, tmp_path_factory):
    with rabbitmq.make_vhost() as vhost:
        declare_topology(vhost.amqp_url)
        edge = Edge(Service(tmp_path_factory.mktemp("edge"), vhost.amqp_url))
        with running(edge):
            edge.start()
            yield edge


@pytest.fixture(scope="module")
def gateway(edge, tmp_path_factory):
    ensure_nginx()
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), f"{LOOPBACK}:{edge.port}")
    with running(gateway):
        gateway.start()
        yield gateway


def accepted(edge):
    return sum(process["journal"]["accepted"] for process in edge.health()["processes"])


def test_a_signed_event_passes_unchanged(gateway, edge):
    before = accepted(edge)

    assert gateway.post(BODY).status_code == 200
    assert accepted(edge) == before + 1


def test_what_the_edge_refuses_is_refused_in_its_own_words(gateway):
    answer = gateway.post(BODY, **{"X-Hub-Signature-256": "sha256=none"})

    assert answer.status_code == 401
    assert "Retry-After" not in answer.headers


def test_a_body_above_the_limit_is_refused_before_the_edge(gateway, edge):
    before = accepted(edge)

    assert gateway.post(b"x" * (1024 * 1024 + 1)).status_code == 413
    assert accepted(edge) == before


def test_a_body_at_the_limit_passes(gateway):
    assert gateway.post(b"x" * (1024 * 1024)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health/ready", "/metrics", "/webhooks/genesys"])
def test_nothing_but_webhooks_is_reached_from_outside(gateway, path):
    assert requests.get(gateway.url + path, verify=gateway.certificate, timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("version", "is_spoken"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_only_tls_1_2_and_1_3_are_spoken(gateway, version, is_spoken):
    context = ssl.create_default_context(cafile=gateway.certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection((LOOPBACK, gateway.port), timeout=10) as plain:
        try:
            context.wrap_socket(plain, server_hostname=LOOPBACK).close()
        except (ssl.SSLError, OSError):
            assert not is_spoken
        else:
            assert is_spoken


def test_one_event_never_becomes_an_error_because_the_edge_starts_again(gateway, edge):
    """gunicorn's master stays, its processes are new: nginx meets closed connections on the way."""
    answers = []
    for _ in range(40):
        answers.append(gateway.post(BODY).status_code)
        if len(answers) == 10:
            edge.send(signal.SIGHUP)

    assert set(answers) == {200}


def test_the_log_tells_who_was_not_the_platform_and_nothing_personal(gateway):
    gateway.post(BODY)
    line = (gateway.directory / "open-messaging.log").read_text().splitlines()[-1]

    assert line.startswith(f"{LOOPBACK} ")
    assert " POST 200 " in line
    assert "platform=0" in line
