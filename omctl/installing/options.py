"""Resolve an installation's options: from this command, else an earlier installation, else the default."""

import enum
import ipaddress
import json
import shlex
import socket
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from omctl.installing.steps import InstallationError, Step, kept, read

CONFIGURATION: Final = Path("/etc/open-messaging")
CREDENTIALS: Final = CONFIGURATION / "credentials"
ENVIRONMENT: Final = CONFIGURATION / "environment"
DESTINATIONS: Final = CONFIGURATION / "destinations.toml"
SAVED: Final = CONFIGURATION / "installation.toml"
STATE: Final = Path("/var/lib/open-messaging")
ACCOUNT: Final = "open-messaging"
SCALER_ACCOUNT: Final = "open-messaging-scaler"
BOTH: Final = "both"

_HEADING: Final = """\
# Options of this host's installation. Written by omctl install, which takes an option from here if it is
# called without it. To change an option, give it again.
"""

Values = Mapping[str, str | int]
"""Options by their names on the command line, such as server-name."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Role(enum.StrEnum):
    """What a host does."""

    EDGE = "edge"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Options:
    """How to install a host; `saved` are the options that come from an earlier installation.

    Without a certificate (PEM and its key), a self-signed one is made. Workers None: as many as the queue
    needs. Hosts have short names; the first one has the database. The units run the environment at `prefix`.
    """

    roles: frozenset[Role] = frozenset(Role)
    bind: str = "127.0.0.1:8080"
    server_name: str = "localhost"
    certificate: tuple[Path, Path] | None = None
    workers: int | None = None
    platform_only: bool = False
    firewall: bool = False
    cluster: tuple[str, ...] = ()
    host: str = field(default_factory=lambda: socket.gethostname().split(".")[0])
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))
    saved: tuple[str, ...] = ()

    @property
    def is_edge(self) -> bool:
        """Whether this host answers the platform."""
        return Role.EDGE in self.roles

    @property
    def is_worker(self) -> bool:
        """Whether this host processes the queue."""
        return Role.WORKER in self.roles

    @property
    def is_first(self) -> bool:
        """Whether this host stands alone or is the one that the others join."""
        return not self.cluster or self.cluster[0] == self.host

    @property
    def brokers(self) -> tuple[str, ...]:
        """The hosts of the broker."""
        return self.cluster or ("127.0.0.1",)

    def values(self) -> Values:
        """Return the options to save, in the form of the command line."""
        return {
            "role": BOTH if self.is_edge and self.is_worker else min(self.roles).value,
            "bind": self.bind,
            "server-name": self.server_name,
            "workers": self.workers or 0,
            "platform-only": self.platform_only,
            "firewall": self.firewall,
            "cluster": ",".join(self.cluster),
        }

    def other_addresses(self) -> list[Address]:
        """Return the addresses of the cluster's other hosts, in order."""
        others = [host for host in self.cluster if host != self.host]
        named = {info[4][0] for host in others for info in socket.getaddrinfo(host, None)}
        parsed = [ipaddress.ip_address(str(address)) for address in named]
        return sorted((one for one in parsed if not (one.is_loopback or one.is_link_local)), key=str)


def resolve_options(given: Values, certificate: tuple[Path, Path] | None = None) -> Options:
    """Combine the options given on the command line with the saved ones and the defaults."""
    saved = _read_saved()
    values = {**Options().values(), **saved, **given}
    role, hosts = str(values["role"]), str(values["cluster"])
    return Options(
        roles=frozenset(Role) if role == BOTH else frozenset({Role(role)}),
        bind=str(values["bind"]),
        server_name=str(values["server-name"]),
        certificate=certificate,
        workers=int(values["workers"]) or None,
        platform_only=bool(values["platform-only"]),
        firewall=bool(values["firewall"]),
        cluster=tuple(hosts.split(",")) if hosts else (),
        saved=tuple(name for name in saved if name not in given),
    )


def saved_option_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that report which options come from an earlier installation, and how to reset them."""
    values, defaults = options.values(), Options().values()
    for name in options.saved:
        yield kept(
            f"{_argument(name, values[name])} of an earlier installation; "
            f"{_argument(name, defaults[name])} resets it"
        )


def render_options(options: Options) -> str:
    """Return the text of the file of saved options, without defaults."""
    changed = options.values().items() - Options().values().items()
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in sorted(changed)]
    return _HEADING + "".join(lines)


def _argument(name: str, value: str | int) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"


def _read_saved() -> Values:
    try:
        found, defaults = tomllib.loads(read(SAVED) or ""), Options().values()
        wrong = [name for name, value in found.items() if not _is_valid(name, value, defaults)]
        reason = f"unknown option or invalid value: {', '.join(wrong)}" if wrong else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = type(error).__name__
    except tomllib.TOMLDecodeError as error:
        reason = f"invalid TOML: {error}"
    if reason:
        raise InstallationError(
            f"{SAVED}, which holds the options of this host's installation, cannot be used ({reason}): "
            "correct it, or delete it and give every option again"
        )
    return found


def _is_valid(name: str, value: object, defaults: Values) -> bool:
    if name not in defaults or type(value) is not type(defaults[name]):
        return False
    return value in {BOTH, *Role} if name == "role" else not isinstance(value, int) or value >= 0
