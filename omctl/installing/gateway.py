"""Put nginx with TLS in front of the edge, and optionally limit connections in the kernel with nftables."""

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from messaging.environment import Environment
from omctl.installing.broker import LISTENERS
from omctl.installing.options import CONFIGURATION, Options
from omctl.installing.steps import (
    UNITS,
    Step,
    always,
    delete_step,
    file_step,
    kept,
    new_file_step,
    package_step,
    read,
    replace,
    restart_policy_step,
    run,
    shipped,
    succeeds,
)

MAIN: Final = Path("/etc/nginx/nginx.conf")
SITE: Final = Path("/etc/nginx/conf.d/open-messaging.conf")
ADDRESSES: Final = Path("/etc/nginx/open-messaging-addresses.conf")
CERTIFICATE: Final = Path("/etc/open-messaging/tls/certificate.pem")
KEY: Final = Path("/etc/open-messaging/tls/key.pem")

MIN_CONNECTIONS: Final = 8192
"""For each nginx process. A single sender can hold more connections open than Debian's 768."""
OPEN_FILES: Final = 4 * MIN_CONNECTIONS
"""For each nginx process: two connections and a body's file for each request, and what else it reads."""
REFUSE_UNLISTED: Final = "if ($om_from_platform = 0) { return 403; }"
_CONNECTIONS: Final = re.compile(r"(worker_connections\s+)(\d+)(?=\s*;)")
_CERTIFICATE: Final = re.compile(r"ssl_certificate (\S+);\s+ssl_certificate_key (\S+);")
_SELF_SIGNED_DAYS: Final = "825"
"""Long enough to be replaced by a real certificate."""

FIREWALL_UNIT: Final = "open-messaging-firewall.service"
"""Not named om-*: those units lack the right that it needs."""
FIREWALL_RULES: Final = CONFIGURATION / "firewall.nft"
_BROKER_PORTS: Final = "4369, 25672"
"""epmd and RabbitMQ's inter-node port: they listen on all addresses, guarded only by the Erlang cookie."""
_CLUSTER_PORTS: Final = f"{_BROKER_PORTS}, 5671, 15671, 5432"


def format_nginx(networks: Iterable[object], heading: str) -> str:
    """Return a variable for nginx's http block that is 1 for the platform's addresses and the host's own.

    The last step of an installation posts from the host itself.

    Source: ngx_http_geo_module.
    """
    lines = [f"    {network} 1;" for network in ("127.0.0.1", *networks)]
    # Without a list, no address is known to be foreign, and none is refused.
    default = 0 if len(lines) > 1 else "unknown"
    return "\n".join([f"# {heading}", "geo $om_from_platform {", f"    default {default};", *lines, "}", ""])


NO_LIST: Final = format_nginx([], f"No list yet: omctl ipranges --format nginx --output {ADDRESSES}")


def gateway_steps(options: Options) -> list[Step]:
    """Return the steps that set up a gateway on port 443."""
    steps = [package_step("nginx"), restart_policy_step("nginx.service")]
    certificate, _ = find_certificate(options)
    if certificate == CERTIFICATE:
        make = Step("make a self-signed certificate", CERTIFICATE.exists, lambda: _make_certificate(options))
        steps += [package_step("openssl"), make]
    elif options.certificate is None:
        steps.append(kept(f"the certificate {certificate} of an earlier --certificate"))
    return [
        *steps,
        Step(
            f"let nginx accept {MIN_CONNECTIONS} connections per process ({MAIN})",
            lambda: (text := read(MAIN) or "") == raise_connections(text),
            lambda: replace(MAIN, raise_connections(read(MAIN) or ""), mode=0o644),
        ),
        new_file_step(ADDRESSES, lambda: NO_LIST, mode=0o644),
        file_step(SITE, lambda: render_site(options)),
        always("reload nginx", _reload_nginx),
    ]


def raise_connections(text: str) -> str:
    """Return nginx.conf's text with enough connections for slow senders; larger numbers stay."""
    text = _CONNECTIONS.sub(lambda found: found[1] + str(max(MIN_CONNECTIONS, int(found[2]))), text)
    return text if "worker_rlimit_nofile" in text else f"worker_rlimit_nofile {OPEN_FILES};\n{text}"


def render_site(options: Options) -> str:
    """Return the gateway's configuration."""
    text = shipped("nginx/open-messaging.conf")
    certificate, key = find_certificate(options)
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


def find_certificate(options: Options) -> tuple[Path, Path]:
    """Return the certificate and its key: the given ones, those of an earlier installation, or our own."""
    written = _CERTIFICATE.search(read(SITE) or "")
    earlier = (Path(written[1]), Path(written[2])) if written else (CERTIFICATE, KEY)
    return options.certificate or earlier


def _make_certificate(options: Options) -> None:
    KEY.parent.mkdir(parents=True, exist_ok=True)
    KEY.parent.chmod(0o700)
    name = options.server_name
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", str(KEY)]
    names = f"subjectAltName={name_type(name)}:{name},IP:127.0.0.1"
    subject = ["-subj", f"/CN={name}", "-addext", names, "-days", _SELF_SIGNED_DAYS]
    run(["openssl", "req", "-x509", *key, *subject, "-out", str(CERTIFICATE)])


def name_type(name: str) -> str:
    """Return the type of a certificate's subject name: DNS or IP."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"


def _reload_or_start(unit: str) -> None:
    is_active = succeeds(["systemctl", "is-active", "--quiet", unit])
    run(["systemctl", "reload" if is_active else "start", unit])
    run(["systemctl", "enable", "--quiet", unit])


def _reload_nginx() -> None:
    """Check the configuration first, so that an error does not reach the running nginx."""
    run(["systemctl", "daemon-reload"])
    run(["nginx", "-t", "-q"])
    _reload_or_start("nginx")


def firewall_steps(options: Options) -> list[Step]:
    """Return the steps that load the firewall's rules, or that remove those of an earlier installation."""
    if not options.firewall:
        is_installed = any(path.exists() for path in (UNITS / FIREWALL_UNIT, FIREWALL_RULES))
        return firewall_removal_steps() if is_installed else []
    return [
        package_step("nftables"),
        file_step(FIREWALL_RULES, lambda: firewall_rules(options)),
        file_step(UNITS / FIREWALL_UNIT, lambda: shipped(f"systemd/{FIREWALL_UNIT}")),
        always("load the firewall's rules", _load_firewall),
    ]


def firewall_removal_steps() -> list[Step]:
    """Return the steps that remove the firewall's rules and its unit."""
    unit = UNITS / FIREWALL_UNIT
    stop = ["systemctl", "disable", "--now", "--quiet", FIREWALL_UNIT]
    stop_step = Step("stop the firewall", lambda: not unit.exists(), lambda: run(stop))
    return [stop_step, delete_step(unit), delete_step(FIREWALL_RULES)]


def firewall_rules(options: Options) -> str:
    """Return the rules, as `omctl install --firewall --dry-run` prints them."""
    text = shipped("nftables/open-messaging.nft")
    # A broker that we did not install may belong to a cluster.
    ports = _CLUSTER_PORTS if options.cluster else _BROKER_PORTS if LISTENERS.exists() else ""
    rule = f"tcp dport {{ {ports} }} iif != lo jump hosts" if ports else ""
    for version in (4, 6):
        elements = ", ".join(str(one) for one in options.other_addresses() if one.version == version)
        text = text.replace(f"@CLUSTER{version}@", f"elements = {{ {elements} }};" if elements else "")
    return text.replace("@CLOSED@", rule)


def _load_firewall() -> None:
    """Check the rules, then load them now and at each boot."""
    run(["nft", "--check", "--file", str(FIREWALL_RULES)])
    run(["systemctl", "daemon-reload"])
    _reload_or_start(FIREWALL_UNIT)
