"""Ask the edge how it is."""

from __future__ import annotations

from typing import Any, Final

import requests

from omctl.check.finding import Finding, Level

AREA: Final = "edge"
REQUEST_SECONDS: Final = 5.0
READY_PATH: Final = "/health/ready"


def check_edge(bind: str) -> list[Finding]:
    """Return what /health/ready of the edge at *bind* says; blocks for some seconds at most."""
    url = health_url(bind)
    if url is None:
        return [Finding(AREA, bind, Level.NOTE, "listens on a socket file, which is not asked")]
    try:
        answer = requests.get(url, timeout=REQUEST_SECONDS)
        report = answer.json()
    except (requests.RequestException, ValueError) as error:
        advice = "Start the edge, or set OM_BIND as the edge has it."
        return [Finding(AREA, url, Level.PROBLEM, f"does not answer ({type(error).__name__})", advice)]
    return report_findings(url, answer.status_code, report)


def health_url(bind: str) -> str | None:
    """Return where the edge bound to *bind* is asked, None for a socket file."""
    if bind.startswith(("unix:", "fd:")):
        return None
    host, _, port = bind.rpartition(":")
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  compared, not bound
    return f"http://{reachable}:{port}{READY_PATH}"


def report_findings(url: str, status: int, report: dict[str, Any]) -> list[Finding]:
    """Judge a readiness report: as a whole, by its problems, by process."""
    ready = Finding(AREA, url, Level.OK, f"ready, {journal_text(report)}")
    if status != 200:
        advice = (
            "It refuses events: the journal is full or cannot be written. See the findings on the broker."
        )
        ready = Finding(AREA, url, Level.PROBLEM, f"not ready ({status}), {journal_text(report)}", advice)
    problems = [Finding(AREA, url, Level.WARNING, str(problem)) for problem in report.get("problems", [])]
    processes = [process_finding(process) for process in report.get("processes", [])]
    return [ready, *problems, *processes]


def journal_text(report: dict[str, Any]) -> str:
    """Tell how the journals of the host stand, in words."""
    used, limit = report.get("journal_bytes"), report.get("journal_max_bytes")
    oldest, republished = report.get("oldest_entry_s"), report.get("republished")
    return f"journals {used} of {limit} bytes, oldest entry {oldest} s, {republished} events republished"


def process_finding(process: dict[str, Any]) -> Finding:
    """Tell one process's journal; damage in one is a problem."""
    subject = f"process {process.get('pid')}"
    journal = process.get("journal", {})
    text = ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {value}" for name, value in journal.items()
    )
    damaged = any(value for name, value in journal.items() if name.startswith("damaged"))
    if damaged:
        advice = "Part of a journal could not be read back: see journal_segment_damaged in the edge's log."
        return Finding(AREA, subject, Level.PROBLEM, text, advice)
    return Finding(AREA, subject, Level.OK, text)
