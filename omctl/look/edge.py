"""Check the edge's readiness, and the allow-list of the gateway before it."""

from typing import Any, Final

import requests

from messaging.environment import Environment
from omctl.connections import health_url
from omctl.installing.gateway import REFUSE_UNLISTED, SITE
from omctl.look.findings import Finding, Level
from webhook_api.health import platform_list_age

AREA: Final = "edge"
CANARY: Final = "canary"
REQUEST_SECONDS: Final = 5.0
MAX_LIST_AGE: Final = 7 * 86400.0
"""Seconds. om-ipranges.timer runs daily; the platform announces changes weeks before."""


def check_edge(bind: str) -> list[Finding]:
    """Return the readiness of the edge at *bind*; blocks for some seconds at most."""
    url = health_url(bind)
    if url is None:
        return [Finding(AREA, bind, Level.NOTE, "listens on a socket file, which cannot be queried")]
    try:
        answer = requests.get(url, timeout=REQUEST_SECONDS)
    except requests.RequestException as error:
        is_late = isinstance(error, requests.Timeout)
        text = f"does not answer within {REQUEST_SECONDS:.0f} s" if is_late else "does not run"
        advice = "Start or restart the edge, or set OM_BIND to the edge's value."
        return [Finding(AREA, url, Level.PROBLEM, text, advice)]
    try:
        report = answer.json()
    except ValueError:
        report = None
    if not isinstance(report, dict):
        advice = "Another program listens there: set OM_BIND to the edge's value."
        return [Finding(AREA, url, Level.PROBLEM, "answers something that is not a report", advice)]
    return judge_report(url, answer.status_code, report)


def judge_report(url: str, status: int, report: dict[str, Any]) -> list[Finding]:
    """Judge a readiness report: as a whole, its problems, and each process."""
    names = {
        "journal_bytes": "bytes in journals",
        "oldest_entry_s": "s oldest entry",
        "republished": "republished",
    }
    text = ", ".join(
        f"{report[name]} {label}" for name, label in names.items() if report.get(name) is not None
    )
    ready = Finding(AREA, url, Level.OK, f"ready: {text}")
    if status != 200:
        advice = "It refuses events: the journal is full or cannot be written. See the broker's findings."
        ready = Finding(AREA, url, Level.PROBLEM, f"not ready ({status}): {text}", advice)
    problems = [Finding(AREA, url, Level.WARNING, str(problem)) for problem in report.get("problems", [])]
    return [ready, *problems, *(_judge_process(process) for process in report.get("processes", []))]


def _judge_process(process: dict[str, Any]) -> Finding:
    """Judge one process's journal; damage is a problem."""
    subject = f"process {process.get('pid')}"
    journal = {name: value for name, value in process.get("journal", {}).items() if value not in (None, {})}
    text = ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {value}" for name, value in journal.items()
    )
    if any(value for name, value in journal.items() if name.startswith("damaged")):
        advice = "Part of a journal could not be read: see journal_segment_damaged in the edge's log."
        return Finding(AREA, subject, Level.PROBLEM, text, advice)
    return Finding(AREA, subject, Level.OK, text)


def check_canary(environment: Environment) -> list[Finding]:
    """Return what stopped our own last event, as om-observe reports it; blocks for some seconds at most."""
    url = environment.string("OM_CANARY_URL")
    if not url:
        advice = "Set OM_CANARY_URL, and om-observe tests the whole way of an event once a minute."
        return [Finding(CANARY, "OM_CANARY_URL", Level.NOTE, "is not set", advice)]
    observe = health_url(environment.string("OM_METRICS_BIND", "127.0.0.1:9464"))
    try:
        state = requests.get(
            str(observe).replace("/health/ready", "/ops/state"), timeout=REQUEST_SECONDS
        ).json()
        [light] = [light for light in state["lights"] if light["name"] == CANARY]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        advice = "Start or restart om-observe, which sends it."
        return [Finding(CANARY, url, Level.WARNING, "is unknown: om-observe does not report it", advice)]
    if light["problem"]:
        advice = "See OpenMessagingCanary in docs/runbook.md."
        return [Finding(CANARY, url, Level.PROBLEM, f"was stopped. {light['problem']}", advice)]
    if light["age_s"] is None:
        return [Finding(CANARY, url, Level.NOTE, "the first event of our own is on its way")]
    return [Finding(CANARY, url, Level.OK, f"our own event arrived {light['age_s']:.0f} s ago")]


def check_addresses() -> list[Finding]:
    """Return the state of the platform's allow-list on a host with a gateway."""
    if not SITE.exists():
        return []
    is_enforced = REFUSE_UNLISTED in SITE.read_text(encoding="utf-8")
    return [judge_list(platform_list_age(), is_enforced=is_enforced)]


def judge_list(age: float | None, *, is_enforced: bool) -> Finding:
    """Judge the allow-list by its age in seconds, None if there is none."""
    subject = "platform's addresses"
    if age is None:
        advice = "Set OM_GENESYS_REGION and the OAuth client, then systemctl start om-ipranges."
        return Finding(AREA, subject, Level.WARNING, "have not been fetched", advice)
    text = f"were fetched {age / 86400:.1f} days ago"
    if age > MAX_LIST_AGE:
        return Finding(AREA, subject, Level.WARNING, text, "See journalctl -u om-ipranges.")
    if not is_enforced:
        advice = "omctl install --platform-only makes nginx refuse all others."
        return Finding(AREA, subject, Level.WARNING, f"{text}; others are logged, not refused", advice)
    return Finding(AREA, subject, Level.OK, f"{text}; others are refused")
