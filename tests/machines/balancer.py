"""Run the shipped load-balancer example in front of several machines, on a port of this host."""

import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.machines.machine import Machine
from tests.machines.traffic import CERTIFICATE
from tests.servers import ensure_nginx, free_port, nginx

EXAMPLE: Final = Path(__file__).parents[2] / "deploy" / "nginx" / "load-balancer.example.conf"
MAIN: Final = """\
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""


class LoadBalancer:
    """nginx in front of *machines*. The sender runs on nginx's host and connects without TLS."""

    def __init__(self, machines: list[Machine]) -> None:
        ensure_nginx()
        self._directory = tempfile.TemporaryDirectory()
        directory = Path(self._directory.name)
        # nginx's workers run under a different account and write large bodies to a folder in this directory.
        directory.chmod(0o711)
        self._port = free_port()
        (directory / "certificate.pem").write_text(machines[0].run(f"cat {CERTIFICATE}"))
        (directory / "site.conf").write_text(self._site(machines, directory))
        (directory / "nginx.conf").write_text(MAIN.format(directory=directory))
        self._nginx: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = nginx()
        assert program is not None
        self._nginx = subprocess.Popen([program, "-c", f"{self._directory.name}/nginx.conf"])
        return self

    def __exit__(self, *_: object) -> None:
        assert self._nginx is not None
        self._nginx.terminate()
        self._nginx.wait()
        self._directory.cleanup()

    @property
    def url(self) -> str:
        """The URL that the platform would post to."""
        return f"http://127.0.0.1:{self._port}"

    def _site(self, machines: list[Machine], directory: Path) -> str:
        text = EXAMPLE.read_text()
        changes = {f"server {machine.name}:443": f"server {machine.address}:443" for machine in machines}
        changes |= {
            "listen 443 ssl;": f"listen 127.0.0.1:{self._port};",
            CERTIFICATE: f"{directory}/certificate.pem",
        }
        for ours, here in changes.items():
            assert ours in text, ours
            text = text.replace(ours, here)
        return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("ssl_"))
