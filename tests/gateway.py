"""Run the gateway as it is installed: nginx with the shipped configuration and real TLS."""

import socket
import subprocess

import requests

from omctl.installing.gateway import NO_LIST, raise_connections, render_site
from omctl.installing.options import Options
from tests.servers import LOOPBACK, ServerProcess, free_port, nginx
from tests.services import WEBHOOK_PATH, signature

MAIN = raise_connections("events { worker_connections 768; }").replace("{", "{{").replace("}", "}}")
MAIN += """
# The user that owns the directory for request bodies.
user root;
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
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
    """nginx with the shipped configuration, but on a free port and with its files in *directory*."""

    def __init__(
        self, directory, bind, addresses=NO_LIST, local="", *, platform_only=False, days=2, **changes
    ):
        super().__init__("nginx", directory / "nginx.log")
        self.directory = directory
        self.port = free_port()
        self.certificate = directory / "certificate.pem"
        key = directory / "key.pem"
        names = ["-subj", "/CN=hooks.example.com", "-addext", "subjectAltName=IP:127.0.0.1"]
        expired = ["-not_before", "20250101000000Z", "-not_after", "20250102000000Z"]
        made = [*(["-days", str(days)] if days else expired), "-keyout", key, "-out", self.certificate]
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        subprocess.run(["openssl", "req", *kind, *made, *names], check=True, capture_output=True)
        (directory / "addresses.conf").write_text(addresses)
        (directory / "local.conf").write_text(local)
        own = (self.certificate, key)
        text = render_site(Options(bind=bind, certificate=own, platform_only=platform_only))
        for ours, here in {
            "listen 443": f"listen {LOOPBACK}:{self.port}",
            "listen [::]:443 ssl;": "",
            "/etc/nginx/open-messaging-addresses.conf": f"{directory}/addresses.conf",
            "/etc/nginx/open-messaging-local": f"{directory}/local",
            "/var/log/nginx/": f"{directory}/",
            **changes,
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

    def logged(self):
        """Return the log's newest line; nginx writes a line after it has sent the response."""
        log = self.directory / "open-messaging.log"
        self.wait_until(lambda: log.read_text().endswith("\n"), timeout=10.0)
        return log.read_text().splitlines()[-1]

    def _listens(self):
        with socket.socket() as client:
            return client.connect_ex((LOOPBACK, self.port)) == 0
