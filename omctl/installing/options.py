"""Say what an installation shall come to."""

from __future__ import annotations

import enum
import ipaddress
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CONFIGURATION: Final = Path("/etc/open-messaging")
CREDENTIALS: Final = CONFIGURATION / "credentials"
ENVIRONMENT: Final = CONFIGURATION / "environment"
DESTINATIONS: Final = CONFIGURATION / "destinations.toml"
STATE: Final = Path("/var/lib/open-messaging")
UNITS: Final = Path("/etc/systemd/system")
ACCOUNT: Final = "open-messaging"
SCALER_ACCOUNT: Final = "open-messaging-scaler"


class Role(enum.StrEnum):
    """What a host does."""

    EDGE = "edge"
    WORKER = "worker"


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked for.

    Args:
        roles: What this host does; a lone VM does both.
        bind: Where the edge listens, host:port.
        server_name: The name in the certificate that nginx answers to.
        certificate: PEM files of it and of its private key; none: one is made that signs itself.
        workers: Intake workers, always so many; None: as many as the queue needs.
        platform_only: Refuse who is not on the list of the platform's addresses, once there is one.
        firewall: Limit connections by sender in the kernel too.
        cluster: Short names of the hosts whose brokers are one, the first of which is installed first and has
            the database; none: this host's broker stands alone.
        host: This host's own short name.
        prefix: The virtual environment that the units run; the one of this program.
        kept: Which of these an earlier installation decides, by their names on the command line.
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
    kept: tuple[str, ...] = ()

    @property
    def is_edge(self) -> bool:
        """Whether this host answers the platform."""
        return Role.EDGE in self.roles

    @property
    def is_worker(self) -> bool:
        """Whether this host works off the queue."""
        return Role.WORKER in self.roles

    @property
    def is_first(self) -> bool:
        """Whether this host stands alone, or is the one that the others join."""
        return not self.cluster or self.cluster[0] == self.host

    @property
    def brokers(self) -> tuple[str, ...]:
        """The hosts at which the broker is reached."""
        return self.cluster or ("127.0.0.1",)


def addresses(options: Options) -> list[Address]:
    """Return the addresses of the cluster's other hosts, in order; none without a cluster.

    Raises:
        OSError: A name has no address.
    """
    others = [host for host in options.cluster if host != options.host]
    named = {info[4][0] for host in others for info in socket.getaddrinfo(host, None)}
    parsed = [ipaddress.ip_address(str(address)) for address in named]
    return sorted((found for found in parsed if not (found.is_loopback or found.is_link_local)), key=str)
