"""Store secrets and server addresses in files that systemd units load as credentials, one value per file.

Only root can read the files. An existing file takes precedence over the environment of `omctl install`, and
the environment over a generated value. A cluster's certificate, which every host needs, is also stored here.
"""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from messaging.environment import Environment
from omctl.installing import steps
from omctl.installing.options import CREDENTIALS, Options
from omctl.installing.steps import Step, file_step, kept, package_step, read, replace, run

EDGE_BROKER: Final = CREDENTIALS / "edge" / "OM_AMQP_URL"
EDGE_MANAGEMENT: Final = CREDENTIALS / "edge" / "OM_MANAGEMENT_URL"
WORKER_BROKER: Final = CREDENTIALS / "worker" / "OM_AMQP_URL"
WORKER_DATABASE: Final = CREDENTIALS / "worker" / "OM_DATABASE_URL"
READER_DATABASE: Final = CREDENTIALS / "reader" / "OM_DATABASE_URL"
OWNER: Final = CREDENTIALS / "owner"
OWNER_BROKER: Final = OWNER / "OM_AMQP_URL"
OWNER_MANAGEMENT: Final = OWNER / "OM_MANAGEMENT_URL"
OWNER_DATABASE: Final = OWNER / "OM_DATABASE_URL"
WEBHOOK_SECRETS: Final = CREDENTIALS / "OM_WEBHOOK_SECRETS"
GENESYS_SECRET: Final = CREDENTIALS / "OM_GENESYS_CLIENT_SECRET"
REQUIRED_HEADERS: Final = CREDENTIALS / "OM_REQUIRED_HEADERS"
EVENTS_HEADERS: Final = CREDENTIALS / "OM_EVENTS_HEADERS"

BROKER: Final = (EDGE_BROKER, WORKER_BROKER, OWNER_BROKER)
MANAGEMENT: Final = (EDGE_MANAGEMENT, OWNER_MANAGEMENT)

VARIABLES: Final = {
    "OM_AMQP_URL": BROKER,
    "OM_MANAGEMENT_URL": MANAGEMENT,
    "OM_DATABASE_URL": (WORKER_DATABASE, OWNER_DATABASE),
    "OM_WEBHOOK_SECRETS": (WEBHOOK_SECRETS,),
    "OM_GENESYS_CLIENT_SECRET": (GENESYS_SECRET,),
    "OM_REQUIRED_HEADERS": (REQUIRED_HEADERS,),
    "OM_EVENTS_HEADERS": (EVENTS_HEADERS,),
}
"""For each environment variable of `omctl install`, the credential files that receive its value."""

CLUSTER: Final = CREDENTIALS / "cluster"
CERTIFICATE_FILES: Final = ("authority.pem", "certificate.pem", "key.pem", "hosts")
TRUSTED: Final = Path("/usr/local/share/ca-certificates/open-messaging-cluster.crt")
"""The cluster's CA certificate, at a path that update-ca-certificates and libpq read."""
_CERTIFICATE_DAYS: Final = "3650"
"""Validity in days. The authority's key is deleted: to renew, delete the file `hosts` and install again."""


def given_steps() -> Iterator[Step]:
    """Yield the steps that store the secrets and server addresses that the environment sets."""
    environment = Environment()
    for name, paths in VARIABLES.items():
        if value := environment.string(name):
            yield from (_given_step(path, name, value) for path in paths)


def missing_steps() -> Iterator[Step]:
    """Yield the steps that write each missing credential file.

    The webhook secret is generated. The reader gets the workers' database URL if `omctl install` has created
    no reader role: an operator should replace it with that of a less privileged role. Other files stay empty.
    """
    values = dict.fromkeys((GENESYS_SECRET, REQUIRED_HEADERS, EVENTS_HEADERS, EDGE_MANAGEMENT), "")
    values[WEBHOOK_SECRETS] = secrets.token_urlsafe(32)
    if address := read_stripped(WORKER_DATABASE):
        values[READER_DATABASE] = address
    for path, value in values.items():
        yield Step(f"write {path}", path.exists, partial(store, path, value))


def _given_step(path: Path, name: str, value: str) -> Step:
    if read_stripped(path) in {"", value}:
        return Step(f"write {path}", lambda: read(path) == value + "\n", lambda: store(path, value))
    # Keep the stored value: an upgrade must not restore a secret that a rotation has removed.
    is_secret = name == "OM_WEBHOOK_SECRETS"
    change = "omctl rotate-secret changes it" if is_secret else "edit it, or delete it and install again"
    return kept(f"{path}, which differs from {name}: {change}")


def read_stripped(path: Path) -> str:
    """Return the text of a credential file without surrounding spaces, or "" if the file does not exist."""
    return (read(path) or "").strip()


def store(path: Path, value: str) -> None:
    """Write a credential file that only root can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for directory in (CREDENTIALS, path.parent):
        directory.chmod(0o700)
    replace(path, f"{value}\n", mode=0o600)


def exist(paths: tuple[Path, ...]) -> bool:
    """Return whether all of *paths* exist."""
    return all(path.exists() for path in paths)


def is_server_named(name: str) -> bool:
    """Return whether stored credentials or the environment set the address *name*, such as OM_AMQP_URL."""
    return exist(VARIABLES[name]) or bool(Environment().string(name))


def authority_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that make the cluster's certificate (on its first host) and trust its authority."""
    hosts = ",".join(sorted(options.brokers))
    if options.is_first:
        yield package_step("openssl")
        yield Step(
            "make the cluster's certificate",
            lambda: read_stripped(CLUSTER / "hosts") == hosts,
            lambda: make_certificate(hosts),
        )
    yield package_step("ca-certificates")
    trusted = file_step(TRUSTED, lambda: _certificate_text("authority.pem"))
    title = "trust the cluster's certificate authority"
    yield Step(title, trusted.is_done, lambda: [trusted.do(), run("update-ca-certificates")])


def certificate_step(directory: Path, group: str, service: str, reload: str) -> Step:
    """Return the step that writes the cluster's certificate and key for a server; *group* may read them.

    The command *reload* makes a running service read the files. It runs even if the files have not changed.
    """

    def write() -> None:
        for name in ("certificate.pem", "key.pem"):
            replace(directory / name, _certificate_text(name), mode=0o640)
            shutil.chown(directory / name, "root", group)
        if steps.succeeds(f"systemctl is-active --quiet {service}"):
            run(reload)

    return steps.always(f"write the cluster's certificate to {directory}", write)


def _certificate_text(name: str) -> str:
    return read_stripped(CLUSTER / name) + "\n"


def make_certificate(hosts: str) -> None:
    """Make a certificate for *hosts* (comma-separated), signed by a new authority whose key is deleted."""
    names = ",".join(f"DNS:{host}" for host in [*hosts.split(","), "localhost"])
    # Python 3.13 verifies certificates strictly: an authority's certificate must have keyUsage.
    authority = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign")
    server = (f"subjectAltName={names}", "basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)

        def make(certificate: str, key: str, subject: str, extensions: tuple[str, ...], *issuer: str) -> None:
            added = [word for extension in extensions for word in ("-addext", extension)]
            given = ("-subj", subject, "-days", _CERTIFICATE_DAYS, *added, *issuer)
            steps.make_certificate(directory / certificate, directory / key, *given)

        make("authority.pem", "authority-key.pem", "/CN=Open Messaging Ingest: this cluster", authority)
        issuer = ("-CA", f"{name}/authority.pem", "-CAkey", f"{name}/authority-key.pem")
        make("certificate.pem", "key.pem", "/CN=Open Messaging Ingest", server, *issuer)
        for file in CERTIFICATE_FILES[:-1]:
            store(CLUSTER / file, (directory / file).read_text(encoding="utf-8").strip())
    store(CLUSTER / "hosts", hosts)
