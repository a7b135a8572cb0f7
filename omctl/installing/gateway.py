"""Put nginx with TLS in front of the edge."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from messaging.environment import Environment
from omctl.address_ranges import format_nginx
from omctl.installing.files import file_step, kept_file_step, read, replace, restart_step, shipped
from omctl.installing.step import Step, kept, package_step, run, succeeds

if TYPE_CHECKING:
    from omctl.installing.options import Options

MAIN: Final = Path("/etc/nginx/nginx.conf")
SITE: Final = Path("/etc/nginx/conf.d/open-messaging.conf")
ADDRESSES: Final = Path("/etc/nginx/open-messaging-addresses.conf")
CERTIFICATE: Final = Path("/etc/open-messaging/tls/certificate.pem")
KEY: Final = Path("/etc/open-messaging/tls/key.pem")

EVERYBODY: Final = format_nginx([], f"No list yet: omctl ipranges --format nginx --output {ADDRESSES}")
MINREFUSE_UNLISTED: Final = "if ($om_from_platform = 0) { return 403; }"
MIN_CONNECTIONS: Final = 8192
"""Of each of nginx's processes. Debian's 768 are fewer than one sender can hold open."""
FILES: Final = 4 * MIN_CONNECTIONS
"""That a process may have open: two connections and a body's file per request, and what else it reads."""
REFUSE_UNLISTED: Final = "if ($om_from_platform = 0) { return 403; }"
_CONNECTIONS: Final = re.compile(r"(worker_connections\s+)(\d+)(?=\s*;)")
_CERTIFICATE: Final = re.compile(r"ssl_certificate (\S+);\s+ssl_certificate_key (\S+);")
DAYS: Final = 825
"""What a certificate that signs itself is good for: long enough to be replaced by a real one."""


def gateway_steps(options: Options) -> list[Step]:
    """Return the steps to a gateway that answers on port 443."""
    steps = [package_step("nginx"), restart_step("nginx.service")]
    certificate, _ = certificate_of(options)
    if certificate == CERTIFICATE:
        steps += [
            package_step("openssl"),
            Step("make a certificate that signs itself", CERTIFICATE.exists, lambda: _certify(options)),
        ]
    elif options.certificate is None:
        steps.append(kept(f"the certificate {certificate}, which an earlier --certificate named"))
    return [
        *steps,
        Step(
            f"have nginx accept {MIN_CONNECTIONS} connections per process ({MAIN})",
            lambda: (text := read(MAIN) or "") == with_connections(text),
            lambda: replace(MAIN, with_connections(read(MAIN) or ""), mode=0o644),
        ),
        kept_file_step(ADDRESSES, lambda: EVERYBODY, mode=0o644),
        file_step(SITE, lambda: site(options)),
        Step("have nginx take its configuration up", lambda: False, _reload),
    ]


def with_connections(text: str) -> str:
    """Return the text of nginx.conf with room for slow senders; larger numbers stay as they are."""
    text = _CONNECTIONS.sub(lambda found: found[1] + str(max(MIN_CONNECTIONS, int(found[2]))), text)
    return text if "worker_rlimit_nofile" in text else f"worker_rlimit_nofile {FILES};\n{text}"


def site(options: Options) -> str:
    """Return the gateway's configuration."""
    text = shipped("nginx/open-messaging.conf")
    certificate, key = certificate_of(options)
    for name, value in {
        "BIND": options.bind,
        "SERVER_NAME": options.server_name,
        "CERTIFICATE": str(certificate),
        "KEY": str(key),
        "REFUSE_UNLISTED": REFUSE_UNLISTED if options.platform_only else "",
        "MAX_BODY_BYTES": str(Environment().integer("OM_MAX_BODY_BYTES", 1024 * 1024, minimum=1)),
    }.items():
        text = text.replace(f"@{name}@", value)
    return text


def certificate_of(options: Options) -> tuple[Path, Path]:
    """Return the certificate and its key: those that were named, now or earlier, or the one made here."""
    written = _CERTIFICATE.search(read(SITE) or "")
    earlier = (Path(written[1]), Path(written[2])) if written else (CERTIFICATE, KEY)
    return options.certificate or earlier


def _certify(options: Options) -> None:
    KEY.parent.mkdir(parents=True, exist_ok=True)
    KEY.parent.chmod(0o700)
    name = options.server_name
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", str(KEY)]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={kind(name)}:{name},IP:127.0.0.1"]
    run(["openssl", "req", "-x509", *key, *names, "-days", str(DAYS), "-out", str(CERTIFICATE)])


def kind(name: str) -> str:
    """Return what a certificate calls a name of this form."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"


def _reload() -> None:
    """Have nginx read its files; what it refuses is told before the running one hears of it."""
    run(["systemctl", "daemon-reload"])
    run(["nginx", "-t", "-q"])
    is_running = succeeds(["systemctl", "is-active", "--quiet", "nginx"])
    run(["systemctl", "reload" if is_running else "start", "nginx"])
    run(["systemctl", "enable", "--quiet", "nginx"])
