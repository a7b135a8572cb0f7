"""Put nginx with TLS in front of the edge, and optionally limit connections in the kernel with nftables."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from messaging.environment import Environment
from omctl.installing import steps
from omctl.installing.broker import LISTENERS
from omctl.installing.options import CONFIGURATION, Options
from omctl.installing.steps import UNITS, Step, always, commands, file_step, package_step, read, shipped

MAIN: Final = Path("/etc/nginx/nginx.conf")
SITE: Final = Path("/etc/nginx/conf.d/open-messaging.conf")
ADDRESSES: Final = Path("/etc/nginx/open-messaging-addresses.conf")
CERTIFICATE: Final = Path("/etc/open-messaging/tls/certificate.pem")
KEY: Final = Path("/etc/open-messaging/tls/key.pem")

MIN_CONNECTIONS: Final = 8192
"""The limit for each nginx process. A single sender can open more connections than Debian's limit of 768."""
OPEN_FILES: Final = 4 * MIN_CONNECTIONS
"""For each nginx process: a request needs two connections and a body file; nginx also opens other files."""
REFUSE_UNLISTED: Final = "if ($om_from_platform = 0) { return 403; }"
_CONNECTIONS: Final = re.compile(r"(worker_connections\s+)(\d+)(?=\s*;)")
_CERTIFICATE: Final = re.compile(r"ssl_certificate (\S+);\s+ssl_certificate_key (\S+);")
_SELF_SIGNED_DAYS: Final = "825"
"""Long enough for an operator to replace it by a real certificate."""

FIREWALL_UNIT: Final = "open-messaging-firewall.service"
"""It is not named om-*, because those units lack the right to load firewall rules."""
FIREWALL_RULES: Final = CONFIGURATION / "firewall.nft"
_BROKER_PORTS: Final = "4369, 25672"
"""epmd and RabbitMQ's inter-node port. Both listen on all addresses; only the Erlang cookie protects them."""
_CLUSTER_PORTS: Final = f"{_BROKER_PORTS}, 5671, 15671, 5432"


def format_nginx(networks: Iterable[object], heading: str) -> str:
    """Return an nginx variable for the http block: 1 for the platform's addresses and the host's own."""
    # Source: ngx_http_geo_module. The last step of an installation posts from the host itself.
    lines = [f"    {network} 1;" for network in ("127.0.0.1", *networks)]
    # Without a list, no address is known to be foreign, so none is refused.
    default = 0 if len(lines) > 1 else "unknown"
    return "\n".join([f"# {heading}", "geo $om_from_platform {", f"    default {default};", *lines, "}", ""])


NO_LIST: Final = format_nginx([], f"No list yet: omctl ipranges --format nginx --output {ADDRESSES}")


def gateway_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that set up a gateway on port 443."""
    yield package_step("nginx")
    yield steps.restart_policy_step("nginx.service")
    certificate, _ = find_certificate(options)
    if certificate == CERTIFICATE:
        yield package_step("openssl")
        make = partial(_make_certificate, options.server_name)
        yield Step("make a self-signed certificate", CERTIFICATE.exists, make)
    elif options.certificate is None:
        yield steps.kept(f"the certificate {certificate} of an earlier --certificate")
    yield Step(
        f"let nginx accept {MIN_CONNECTIONS} connections per process ({MAIN})",
        lambda: (text := read(MAIN) or "") == raise_connections(text),
        lambda: steps.replace(MAIN, raise_connections(read(MAIN) or ""), mode=0o644),
    )
    yield file_step(ADDRESSES, lambda: NO_LIST, changes_stay=True)
    yield file_step(SITE, lambda: render_site(options))
    # The configuration is checked first, so that an error does not reach the running nginx.
    reload = ("nginx -t -q", "systemctl reload-or-restart nginx", "systemctl enable --quiet nginx")
    yield always("reload nginx", commands("systemctl daemon-reload", *reload))


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


def _make_certificate(name: str) -> None:
    KEY.parent.mkdir(parents=True, exist_ok=True)
    KEY.parent.chmod(0o700)
    names = f"subjectAltName={name_type(name)}:{name},IP:127.0.0.1"
    subject = ("-subj", f"/CN={name}", "-addext", names, "-days", _SELF_SIGNED_DAYS)
    steps.make_certificate(CERTIFICATE, KEY, *subject)


def name_type(name: str) -> str:
    """Return the type of a certificate's subject name: DNS or IP."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"


def firewall_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that load the firewall's rules, or that remove those of an earlier installation."""
    unit = UNITS / FIREWALL_UNIT
    if not options.firewall:
        yield from firewall_removal_steps() if unit.exists() or FIREWALL_RULES.exists() else ()
        return
    yield package_step("nftables")
    yield file_step(FIREWALL_RULES, lambda: firewall_rules(options))
    yield file_step(unit, lambda: shipped(f"systemd/{FIREWALL_UNIT}"))
    # The rules are checked first, then loaded now and at each boot.
    check = f"nft --check --file {FIREWALL_RULES}"
    load = (f"systemctl reload-or-restart {FIREWALL_UNIT}", f"systemctl enable --quiet {FIREWALL_UNIT}")
    yield always("load the firewall's rules", commands(check, "systemctl daemon-reload", *load))


def firewall_removal_steps() -> Iterator[Step]:
    """Yield the steps that remove the firewall's rules and its unit."""
    unit = UNITS / FIREWALL_UNIT
    stop = commands(f"systemctl disable --now --quiet {FIREWALL_UNIT}")
    yield Step("stop the firewall", lambda: not unit.exists(), stop)
    yield from (steps.delete_step(path) for path in (unit, FIREWALL_RULES))


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
