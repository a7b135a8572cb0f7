"""Say what an installation shall come to."""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CONFIGURATION: Final = Path("/etc/open-messaging")
CREDENTIALS: Final = CONFIGURATION / "credentials"
ENVIRONMENT: Final = CONFIGURATION / "environment"
STATE: Final = Path("/var/lib/open-messaging")
UNITS: Final = Path("/etc/systemd/system")
ACCOUNT: Final = "open-messaging"


class Role(enum.StrEnum):
    """What a host does."""

    EDGE = "edge"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked for.

    Args:
        roles: What this host does; a lone VM does both.
        bind: Where the edge listens, host:port.
        server_name: The name in the certificate that nginx answers to.
        certificate: PEM files of it and of its private key; none: one is made that signs itself.
        workers: Intake workers, always so many; None: as many as the queue needs.
        prefix: The virtual environment that the units run; the one of this program.
    """

    roles: frozenset[Role] = frozenset(Role)
    bind: str = "127.0.0.1:8080"
    server_name: str = "localhost"
    certificate: tuple[Path, Path] | None = None
    workers: int | None = None
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))

    @property
    def is_edge(self) -> bool:
        """Whether this host answers the platform."""
        return Role.EDGE in self.roles

    @property
    def is_worker(self) -> bool:
        """Whether this host works off the queue."""
        return Role.WORKER in self.roles
