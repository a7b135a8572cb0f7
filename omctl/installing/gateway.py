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
REMOVED_SITE: Final = CONFIGURATION / "removed-gateway.conf"
"""Uninstalling moves SITE here, so that the next installation finds the certificate's paths."""
ADDRESSES: Final = Path("/etc/nginx/open-messaging-addresses.conf")
CERTIFICATE: Final = CONFIGURATION / "tls" / "certificate.pem"
KEY: Final = CONFIGURATION / "tls" / "key.pem"

MIN_CONNECTIONS: Final = 8192
"""The minimum for worker_connections. One sender can open more connections than Debian's 768 per process."""
OPEN_FILES: Final = 4 * MIN_CONNECTIONS
"""The minimum for worker_rlimit_nofile. A request can use three descriptors; nginx needs a few more."""
REFUSE_UNLISTED: Final = "if ($om_from_platform = 0) { return 403; }"
_CERTIFICATE: Final = re.compile(r"ssl_certificate (\S+);\s+ssl_certificate_key (\S+);")
_SELF_SIGNED_DAYS: Final = "825"
"""Validity of a self-signed certificate in days; an operator should replace it with a real one."""

FIREWALL_UNIT: Final = "open-messaging-firewall.service"
"""The name must not begin with om-: hardening.conf denies units with that prefix the rights needed here."""
FIREWALL_RULES: Final = CONFIGURATION / "firewall.nft"
_BROKER_PORTS: Final = "4369, 25672"
"""epmd and RabbitMQ's nodes use these ports on all addresses; only the Erlang cookie protects them."""
_CLUSTER_PORTS: Final = f"{_BROKER_PORTS}, 5671, 15671, 5432"


def format_nginx(networks: Iterable[object], heading: str) -> str:
    """Return the definition of nginx's $om_from_platform: 1 for *networks* and this host, otherwise 0."""
    # Source: ngx_http_geo_module. 127.0.0.1 is listed because an installation sends its test event from it.
    lines = [f"    {network} 1;" for network in ("127.0.0.1", *networks)]
    # Without a list, the variable is "unknown", so nginx refuses no address.
    default = 0 if len(lines) > 1 else "unknown"
    return "\n".join([f"# {heading}", "geo $om_from_platform {", f"    default {default};", *lines, "}", ""])


NO_LIST: Final = format_nginx([], f"No list yet: omctl ipranges --format nginx --output {ADDRESSES}")


def gateway_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that set up nginx as the gateway on port 443."""
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
    if REMOVED_SITE.exists():
        yield steps.delete_step(REMOVED_SITE)
    # Check the configuration first, so that an error in it does not reach the running nginx.
    reload = ("nginx -t -q", "systemctl reload-or-restart nginx", "systemctl enable --quiet nginx")
    yield always("reload nginx", commands("systemctl daemon-reload", *reload))


def raise_connections(text: str) -> str:
    """Return nginx.conf's *text* with limits that allow many slow senders; higher limits stay unchanged."""
    text = _raise(text, "worker_connections", MIN_CONNECTIONS, r"^[^#\n]*\bevents\s*\{\n?")
    return _raise(text, "worker_rlimit_nofile", OPEN_FILES, r"\A")


def _raise(text: str, name: str, least: int, place: str) -> str:
    """Raise a directive's value to at least *least*; insert a missing directive after the pattern *place*."""
    directive = re.compile(rf"^([^#\n]*\b{name}\s+)(\d+)", re.MULTILINE)
    if directive.search(text):
        return directive.sub(lambda found: found[1] + str(max(least, int(found[2]))), text)
    return re.sub(place, rf"\g<0>{name} {least};\n", text, count=1, flags=re.MULTILINE)


def render_site(options: Options) -> str:
    """Return the gateway's configuration."""
    certificate, key = find_certificate(options)
    return shipped(
        "nginx/open-messaging.conf",
        BIND=options.bind,
        SERVER_NAME=options.server_name,
        CERTIFICATE=str(certificate),
        KEY=str(key),
        REFUSE_UNLISTED=REFUSE_UNLISTED if options.platform_only else "",
        MAX_BODY_BYTES=str(Environment().integer("OM_MAX_BODY_BYTES", 1024 * 1024, minimum=1)),
    )


def find_certificate(options: Options) -> tuple[Path, Path]:
    """Return the certificate and key: those given, else an earlier installation's, else self-signed ones."""
    written = _CERTIFICATE.search(read(SITE) or read(REMOVED_SITE) or "")
    earlier = (Path(written[1]), Path(written[2])) if written else (CERTIFICATE, KEY)
    return options.certificate or earlier


def _make_certificate(name: str) -> None:
    KEY.parent.mkdir(parents=True, exist_ok=True)
    KEY.parent.chmod(0o700)
    names = f"subjectAltName={name_type(name)}:{name},IP:127.0.0.1"
    subject = ("-subj", f"/CN={name}", "-addext", names, "-days", _SELF_SIGNED_DAYS)
    steps.make_certificate(CERTIFICATE, KEY, *subject)


def name_type(name: str) -> str:
    """Return the type of *name* in a certificate's subjectAltName: DNS or IP."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"


def firewall_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that load the firewall's rules, or that remove the rules of an earlier installation."""
    unit = UNITS / FIREWALL_UNIT
    if not options.firewall:
        yield from firewall_removal_steps() if unit.exists() or FIREWALL_RULES.exists() else ()
        return
    yield package_step("nftables")
    yield file_step(FIREWALL_RULES, lambda: firewall_rules(options))
    yield file_step(unit, lambda: shipped(f"systemd/{FIREWALL_UNIT}"))
    # Check the rules first, then load them now; the enabled unit loads them again at every boot.
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
    """Return the firewall's rules, which `omctl install --firewall --dry-run` prints."""
    # Close no broker port if `omctl install` did not set up the broker: it might belong to another cluster.
    ports = _CLUSTER_PORTS if options.cluster else _BROKER_PORTS if LISTENERS.exists() else ""
    values = {"CLOSED": f"tcp dport {{ {ports} }} iif != lo jump hosts" if ports else ""}
    for version in (4, 6):
        elements = ", ".join(str(one) for one in options.other_addresses() if one.version == version)
        values[f"CLUSTER{version}"] = f"elements = {{ {elements} }};" if elements else ""
    return shipped("nftables/open-messaging.nft", **values)
