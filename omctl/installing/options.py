"""Resolve an installation's options from the command line, an earlier installation and the defaults."""

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
from typing import Any, Final

from omctl.installing.steps import InstallationError, Step, kept, read

CONFIGURATION: Final = Path("/etc/open-messaging")
CREDENTIALS: Final = CONFIGURATION / "credentials"
ENVIRONMENT: Final = CONFIGURATION / "environment"
SAVED: Final = CONFIGURATION / "installation.toml"
STATE: Final = Path("/var/lib/open-messaging")
ACCOUNT: Final = "open-messaging"
SCALER_ACCOUNT: Final = "open-messaging-scaler"
BOTH: Final = "both"
_SAVED_NAMES: Final = ("role", "bind", "server-name", "workers", "platform-only", "firewall", "cluster")

_HEADING: Final = """\
# Options of this host's installation. Written by omctl install, which uses these values for
# options that are not given. To change an option, give it again.
"""

Values = Mapping[str, Any]
"""Maps the command-line name of each option, such as server-name, to its value."""


class Role(enum.StrEnum):
    """What a host runs: the edge, or the workers."""

    EDGE = "edge"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Options:
    """How to install a host. `saved` names the options that keep an earlier installation's value.

    `certificate` is a PEM file and its key; without it, a self-signed one is made. If `workers` is 0, the
    queue's depth sets their number. `cluster` lists short host names, separated by commas; the first host
    has the database. The units use the virtual environment at `prefix`.
    """

    role: str = BOTH
    bind: str = "127.0.0.1:8080"
    server_name: str = "localhost"
    workers: int = 0
    platform_only: bool = False
    firewall: bool = False
    cluster: str = ""
    certificate: tuple[Path, Path] | None = None
    host: str = field(default_factory=lambda: socket.gethostname().split(".")[0])
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))
    saved: tuple[str, ...] = ()

    @property
    def roles(self) -> frozenset[Role]:
        """The set of roles that this host has."""
        return frozenset(Role) if self.role == BOTH else frozenset({Role(self.role)})

    @property
    def is_first(self) -> bool:
        """Whether this host belongs to no cluster, or is the host that the cluster's other hosts join."""
        return not self.cluster or self.brokers[0] == self.host

    @property
    def brokers(self) -> tuple[str, ...]:
        """The hosts on which the broker's nodes run."""
        return tuple(self.cluster.split(",")) if self.cluster else ("127.0.0.1",)

    def values(self) -> Values:
        """Return the options to save, by their command-line names."""
        return {name: getattr(self, name.replace("-", "_")) for name in _SAVED_NAMES}

    def other_addresses(self) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        """Return the sorted IP addresses of the cluster's other hosts."""
        others = [host for host in self.brokers if host != self.host]
        try:
            named = {info[4][0] for host in others for info in socket.getaddrinfo(host, None)}
        except OSError as error:
            raise InstallationError(f"a host of --cluster has no address: {error.strerror}") from None
        parsed = [ipaddress.ip_address(str(address)) for address in named]
        return sorted((one for one in parsed if not (one.is_loopback or one.is_link_local)), key=str)


def resolve_options(given: Values) -> Options:
    """Combine the options given on the command line with the saved options and the defaults."""
    saved = _read_saved()
    values = {name.replace("-", "_"): value for name, value in {**saved, **given}.items()}
    return Options(**values, saved=tuple(name for name in saved if name not in given))


def saved_option_steps(options: Options) -> Iterator[Step]:
    """Yield steps that only report which options an earlier installation saved, and how to reset them."""
    values, defaults = options.values(), Options().values()
    for name in options.saved:
        yield kept(
            f"{_argument(name, values[name])} of an earlier installation; "
            f"{_argument(name, defaults[name])} resets it"
        )


def render_options(options: Options) -> str:
    """Return the text of the saved-options file, which omits default values."""
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
    except (OSError, UnicodeDecodeError):
        reason = "it cannot be read or is not UTF-8 text"
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
