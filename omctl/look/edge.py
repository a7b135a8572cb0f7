"""Check the edge: its readiness, the canary, the certificate, the allow-list and this host's journals."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import requests

from messaging.environment import Environment
from omctl.connections import health_url
from omctl.installing.gateway import REFUSE_UNLISTED, SITE
from omctl.installing.steps import UNITS
from omctl.look.findings import Finding, note, ok, problem, warning
from omctl.look.settings import redact_url
from webhook_api import journal as journals
from webhook_api.health import platform_list_age

REQUEST_SECONDS: Final = 5.0
CERTIFICATE_SECONDS: Final = 2.0
OBSERVE_UNIT: Final = UNITS / "om-observe.service"
MAX_LIST_AGE: Final = 7 * 86400.0
"""The list's maximum age in seconds. A timer fetches it daily; changes are announced weeks ahead."""
MIN_VALID_DAYS: Final = 14
"""The alert OpenMessagingCertificateExpires has the same limit. certbot renews 30 days before expiry."""
EXPIRED: Final = 10
"""X509_V_ERR_CERT_HAS_EXPIRED. Source: OpenSSL, openssl-verification-options(1)."""
RENEW: Final = "Renew it: see OpenMessagingCertificateExpires in docs/runbook.md."
OLD_SECONDS: Final = 60.0
"""The maximum age of a journal entry in seconds. An entry usually stays for about ten seconds."""

FOREIGN: Final = "Nothing but the edge's own directories belongs here: move it away."
LOCKLESS: Final = "If it is a copied journal, make an empty file named lock in it, owned by the edge's user."
UNREADABLE: Final = (
    "Run omctl check as the edge's user. If that user cannot read it either, the edge skips it."
)
REPORTED: Final = {
    "journal_bytes": "bytes in journals",
    "oldest_entry_s": "s oldest entry",
    "republished": "republished",
}


def check_edge(bind: str) -> Iterator[Finding]:
    """Yield findings about the readiness of the edge at *bind*; this takes a few seconds at most."""
    url = health_url(bind)
    if url is None:
        yield note(bind, "listens on a socket file, which cannot be queried")
        return
    try:
        answer = requests.get(url, timeout=REQUEST_SECONDS)
        report = answer.json()
    except requests.JSONDecodeError:
        report = None
    except requests.RequestException as error:
        is_late = isinstance(error, requests.Timeout)
        text = f"does not answer within {REQUEST_SECONDS:.0f} s" if is_late else "does not run"
        yield problem(url, text, "Start or restart the edge, or set OM_BIND to the edge's value.")
        return
    if isinstance(report, dict):
        yield from judge_report(url, answer.status_code, report)
    else:
        advice = "Another program listens there: set OM_BIND to the edge's value."
        yield problem(url, "does not answer with the edge's report", advice)


def judge_report(url: str, status: int, report: dict[str, Any]) -> Iterator[Finding]:
    """Judge the edge's readiness *report*: its status, its problems and each process."""
    text = ", ".join(
        f"{report[name]} {label}" for name, label in REPORTED.items() if report.get(name) is not None
    )
    if status == 200:
        yield ok(url, f"ready: {text}")
    else:
        advice = "It refuses events: the journal is full or cannot be written. See the broker's findings."
        yield problem(url, f"not ready ({status}): {text}", advice)
    yield from (warning(url, str(found)) for found in report.get("problems", []))
    for process in report.get("processes", []):
        journal = {
            name: value for name, value in process.get("journal", {}).items() if value not in (None, {})
        }
        facts = (f"{name.removesuffix('_s').replace('_', ' ')} {value}" for name, value in journal.items())
        is_damaged = any(value for name, value in journal.items() if name.startswith("damaged"))
        advice = "Some bytes of the journal could not be read: see journal_segment_damaged in the edge's log."
        subject, text = f"process {process.get('pid')}", ", ".join(facts)
        yield problem(subject, text, advice) if is_damaged else ok(subject, text)


def check_canary(environment: Environment) -> Finding:
    """Judge om-observe, and the last canary that it reports; this takes a few seconds at most."""
    url = redact_url(environment.string("OM_CANARY_URL")) if environment.string("OM_CANARY_URL") else ""
    advice = "Set OM_CANARY_URL: om-observe then tests the whole service once a minute."
    unset = note("OM_CANARY_URL", "is not set", advice)
    if not url and not OBSERVE_UNIT.exists():
        return unset
    observe = str(health_url(environment.string("OM_METRICS_BIND", "127.0.0.1:9464")))
    try:
        state = requests.get(observe.replace("/health/ready", "/ops/state"), timeout=REQUEST_SECONDS).json()
        if not url:
            return unset
        [light] = [light for light in state["lights"] if light["name"] == "canary"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        text = (
            "is unknown: om-observe does not report it" if url else "does not serve the page and the metrics"
        )
        return warning(url or "om-observe", text, "Start or restart om-observe.")
    if light["problem"]:
        return problem(url, f"was stopped: {light['problem']}", "See OpenMessagingCanary in docs/runbook.md.")
    if light["state"] == "unknown":
        advice = "If this lasts for more than a minute, restart om-observe, which sends it."
        return warning(url, "is unknown: no canary has arrived or failed recently", advice)
    return ok(url, f"the last canary arrived {light['age_s']:.0f} s ago")


def check_certificate(url: str) -> Iterator[Finding]:
    """Judge how long the certificate at a public URL stays valid. The canary reports invalid certificates."""
    subject = redact_url(url)
    try:
        if (parts := urlsplit(url)).scheme != "https":
            return
        address, context = (parts.hostname or "", parts.port or 443), ssl.create_default_context()
        with (
            socket.create_connection(address, CERTIFICATE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
        ):
            expires_at = ssl.cert_time_to_seconds(str((secure.getpeercert() or {})["notAfter"]))
    except (OSError, ValueError) as error:
        if getattr(error, "verify_code", None) == EXPIRED:
            yield problem(subject, "has a certificate that has expired", RENEW)
        else:
            yield note(subject, "presents no valid certificate to this host: see the canary's finding")
        return
    days = (expires_at - time.time()) / 86400
    text = f"has a certificate that is valid for {days:.0f} more days"
    yield problem(subject, text, RENEW) if days < MIN_VALID_DAYS else ok(subject, text)


def check_addresses() -> Iterator[Finding]:
    """Yield a finding about the list of the platform's addresses if this host has a gateway."""
    if SITE.exists():
        is_enforced = REFUSE_UNLISTED in SITE.read_text(encoding="utf-8")
        yield judge_list(platform_list_age(), is_enforced=is_enforced)


def judge_list(age: float | None, *, is_enforced: bool) -> Finding:
    """Judge the list of the platform's addresses by its age in seconds (None: there is no list)."""
    subject = "platform's addresses"
    if age is None:
        advice = "Set OM_GENESYS_REGION and the OAuth client, then systemctl start om-ipranges."
        return warning(subject, "have not been fetched", advice)
    text = f"were fetched {age / 86400:.1f} days ago"
    if age > MAX_LIST_AGE:
        return warning(subject, text, "See journalctl -u om-ipranges.")
    if not is_enforced:
        advice = "omctl install --platform-only makes nginx refuse all others."
        return warning(subject, f"{text}; others are logged, not refused", advice)
    return ok(subject, f"{text}; others are refused")


class JournalState(NamedTuple):
    """One process's journal: events, bytes, unreadable bytes, seconds since the oldest segment changed."""

    is_owned: bool
    entries: int = 0
    size: int = 0
    damaged: int = 0
    oldest_age: float = 0.0


def check_journals(state_directory: Path) -> Iterator[Finding]:
    """Read every segment, and yield findings about each process's journal and the set-aside files."""
    root = state_directory / "journal"
    try:
        directories, foreign = journals.journal_directories(root), journals.foreign_entries(root)
        yield from map(_judge_directory, directories)
        yield from (warning(name, f"{what}: the edge skips it", FOREIGN) for name, what in foreign.items())
        if not state_directory.exists():
            yield warning(str(root), "does not exist", "Start the edge, or correct OM_STATE_DIRECTORY.")
        elif not directories and not foreign:
            yield ok(str(root), "no journal on disk")
    except OSError as error:
        yield warning(str(root), f"cannot be read: {error.strerror}", UNREADABLE)
    damaged, oversized = state_directory / "damaged", state_directory / "oversized"
    try:
        if kept := _list_files(damaged):
            advice = "Every readable event in them was published. Look for disk faults, then delete them."
            yield warning(str(damaged), f"{len(kept)} damaged files: {', '.join(kept)}", advice)
        if bodies := [name for name in _list_files(oversized) if name.endswith(".body")]:
            advice = "They are not processed: see OpenMessagingSetAside in om-observe's /runbook."
            yield problem(str(oversized), f"{len(bodies)} events too large for the broker", advice)
    except OSError as error:
        yield warning(str(error.filename), f"cannot be read: {error.strerror}")


def _list_files(directory: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return sorted(path.name for path in directory.iterdir())
    return []


def _judge_directory(directory: Path) -> Finding:
    try:
        return judge_journal(directory.name, read_state(directory))
    except FileNotFoundError:
        if not directory.exists():
            return ok(directory.name, "was emptied and removed just now")
        return problem(directory.name, "has no file named lock: the edge skips it", LOCKLESS)
    except OSError as error:
        return warning(directory.name, f"cannot be read: {error.strerror}", UNREADABLE)


def judge_journal(name: str, state: JournalState) -> Finding:
    """Judge the state of one process's journal, whose directory is *name*."""
    text = f"{state.entries} entries, {state.size} bytes, oldest segment {state.oldest_age:.0f} s"
    if state.damaged:
        advice = "Keep the files and look for disk faults; every readable event is published."
        return problem(name, f"{text}, {state.damaged} bytes unreadable", advice)
    if state.entries and not state.is_owned:
        advice = "Its process is dead: start the edge on this host with this OM_STATE_DIRECTORY to adopt it."
        return problem(name, text, advice)
    if state.entries and state.oldest_age > OLD_SECONDS:
        return warning(name, text, "The broker does not accept events: see the broker's findings.")
    return ok(name, text)


def read_state(directory: Path) -> JournalState:
    """Read one process's journal. A segment that is deleted in the meantime counts as empty."""
    is_owned, entries, size, damaged, oldest_age = journals.has_owner(directory), 0, 0, 0, 0.0
    for segment in journals.list_segments(directory):
        try:
            facts, records = segment.path.stat(), list(journals.read_segment(segment.path))
        except FileNotFoundError:
            continue
        if is_owned and records and isinstance(records[-1], journals.Damage):
            # Ignore an incomplete last record: a running process might still be writing it.
            records.pop()
        damage = [record.size for record in records if isinstance(record, journals.Damage)]
        entries += len(records) - len(damage)
        size += facts.st_size
        damaged += sum(damage)
        if len(records) > len(damage):
            oldest_age = max(oldest_age, time.time() - facts.st_mtime)
    return JournalState(is_owned, entries, size, damaged, oldest_age)
