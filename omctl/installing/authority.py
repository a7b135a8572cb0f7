"""Make the certificate by which a cluster's hosts know each other, and the authority that they trust."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from omctl.installing import credentials
from omctl.installing.files import read, replace
from omctl.installing.options import CREDENTIALS
from omctl.installing.step import Step, package_step, run

if TYPE_CHECKING:
    from omctl.installing.options import Options

TRUSTED: Final = Path("/usr/local/share/ca-certificates/open-messaging-cluster.crt")
"""The authority, where update-ca-certificates takes it from; libpq reads it here."""

KEPT: Final = CREDENTIALS / "cluster"
"""Travels with the other secrets to each host: authority, certificate, its key, and the names in it."""

DAYS: Final = 3650
"""The authority's key is deleted at once: all is replaced together, by deleting `hosts` and installing."""

NAMES: Final = ("authority.pem", "certificate.pem", "key.pem", "hosts")
_CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", str(DAYS))


def authority_steps(options: Options) -> list[Step]:
    """Return the steps to a certificate for the cluster's hosts, made on the first, that this host trusts."""
    hosts = ",".join(sorted(options.cluster))
    make = Step("make the cluster's certificate", lambda: _kept("hosts") == hosts, lambda: _make(hosts))
    return [
        *([package_step("openssl"), make] if options.is_first else []),
        package_step("ca-certificates"),
        Step("trust the cluster's authority", lambda: read(TRUSTED) == _text("authority.pem"), _trust),
    ]


def certificate_step(directory: Path, group: str) -> Step:
    """Return the step that gives a server the cluster's certificate.

    Args:
        directory: Where certificate.pem and key.pem are written.
        group: Of the server's account, which alone may read the key.
    """

    def is_there() -> bool:
        return all(read(directory / name) == _text(name) for name in ("certificate.pem", "key.pem"))

    def write() -> None:
        for name in ("certificate.pem", "key.pem"):
            replace(directory / name, _text(name), mode=0o640)
            shutil.chown(directory / name, "root", group)

    return Step(f"write the cluster's certificate to {directory}", is_there, write)


def _text(name: str) -> str:
    return (read(KEPT / name) or "").strip() + "\n"


def _kept(name: str) -> str:
    return _text(name).strip()


def _trust() -> None:
    replace(TRUSTED, _text("authority.pem"), mode=0o644)
    run(["update-ca-certificates"])


def _make(hosts: str) -> None:
    """Make an authority and, by it, a certificate; keep all but the authority's key."""
    names = ",".join(f"DNS:{host}" for host in [*hosts.split(","), "localhost"])
    with tempfile.TemporaryDirectory() as made:
        authority = ["-keyout", f"{made}/authority-key.pem", "-out", f"{made}/authority.pem"]
        # Python 3.13 verifies strictly: without its use, an authority is none.
        use = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        is_authority = ["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0", *use]
        subject = ["-subj", "/CN=Open Messaging Ingest: this cluster"]
        run(["openssl", "req", "-x509", *_CURVE, *authority, *subject, *is_authority])
        by = ["-CA", f"{made}/authority.pem", "-CAkey", f"{made}/authority-key.pem"]
        certificate = ["-keyout", f"{made}/key.pem", "-out", f"{made}/certificate.pem"]
        use = ["-addext", "basicConstraints=CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"]
        about = ["-subj", "/CN=Open Messaging Ingest", "-addext", f"subjectAltName={names}", *use]
        run(["openssl", "req", "-x509", *_CURVE, *by, *certificate, *about])
        for name in NAMES[:-1]:
            credentials.keep(KEPT / name, Path(made, name).read_text(encoding="utf-8").strip())
    credentials.keep(KEPT / "hosts", hosts)
