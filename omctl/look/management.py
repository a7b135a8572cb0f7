"""Check what only the management API reports: alarms, depth, policies."""

from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import requests

from messaging import topology
from messaging.errors import ConfigurationError
from messaging.management import ManagementApi, quote_vhost
from omctl.look.findings import Finding, Level
from omctl.look.settings import HIDDEN, redact_urls

AREA: Final = "management"
REQUEST_SECONDS: Final = 3.0

LOSING_POLICY_KEYS: Final = ("max-length", "max-length-bytes", "message-ttl", "expires")
"""Without publisher confirms, each of these lets a queue silently drop events."""


def check_management(urls: tuple[str, ...], amqp_urls: tuple[str, ...]) -> list[Finding]:
    """Return what each node reports; blocks for some seconds if one does not answer.

    Args:
        urls: OM_MANAGEMENT_URL, with credentials.
        amqp_urls: OM_AMQP_URL, for its virtual host.
    """
    if not urls:
        advice = (
            "Set OM_MANAGEMENT_URL: without it the edge cannot see the queue's depth and cannot answer 429."
        )
        return [Finding(AREA, "API", Level.WARNING, "is not configured", advice)]
    hosts = redact_urls(",".join(urls)).split(", ")
    if hosts == [HIDDEN]:
        advice = "Percent-encode commas and other special characters of user and password."
        return [Finding(AREA, "API", Level.PROBLEM, "has a malformed URL", advice)]
    try:
        vhost = quote_vhost(amqp_urls)
    except ConfigurationError as error:
        return [Finding(AREA, "API", Level.PROBLEM, "cannot be queried without the virtual host", str(error))]
    findings: list[Finding] = []
    for url, host in zip(urls, hosts, strict=True):
        at_host = f" at {host}" if len(urls) > 1 else ""
        node = _check_node(url, vhost)
        findings.extend(replace(finding, subject=finding.subject + at_host) for finding in node)
    return findings


def _check_node(url: str, vhost: str) -> list[Finding]:
    api = ManagementApi(url, REQUEST_SECONDS)
    try:
        findings = [judge_alarms(_get(api, "health/checks/alarms")), judge_guest(_try_guest(url))]
        findings.extend(
            judge_queue(queue, _get(api, f"queues/{vhost}/{quote(queue, safe='')}"))
            for queue in topology.QUEUES
        )
    except (requests.RequestException, ValueError) as error:
        return [_unreachable(error)]
    return findings


def judge_alarms(report: dict[str, Any]) -> Finding:
    """Judge the answer of the alarm check."""
    alarms = [f"{alarm.get('resource')} on {alarm.get('node')}" for alarm in report.get("alarms", [])]
    if not alarms and report.get("status") == "ok":
        return Finding(AREA, "alarms", Level.OK, "none")
    text = ", ".join(alarms) or str(report.get("reason") or report)
    advice = "The broker accepts no events: free memory or disk there. The edge keeps them in its journal."
    return Finding(AREA, "alarms", Level.PROBLEM, text, advice)


def judge_guest(status: int) -> Finding:
    """Judge the API's answer to RabbitMQ's initial user with its initial password."""
    if status != 200:
        return Finding(AREA, "user guest", Level.OK, "has no access with its initial password")
    advice = (
        "Every user of the broker's host can read, forge and delete events: rabbitmqctl delete_user guest"
    )
    return Finding(AREA, "user guest", Level.WARNING, "is an administrator with its initial password", advice)


def judge_queue(queue: str, report: dict[str, Any]) -> Finding:
    """Judge one queue's policies, members and depth."""
    subject = f"queue {queue}"
    if report.get("error"):
        text = str(report.get("reason", report["error"]))
        return Finding(AREA, subject, Level.PROBLEM, text, "Run omctl setup.")
    policy = report.get("effective_policy_definition") or {}
    if losing := ", ".join(key for key in LOSING_POLICY_KEYS if key in policy):
        name = report.get("policy") or report.get("operator_policy") or "a policy"
        advice = f"Remove {losing} from {name}: without publisher confirms it drops events."
        return Finding(AREA, subject, Level.PROBLEM, f"{name} sets {losing}", advice)
    members, online = report.get("members", []), report.get("online", [])
    if members and len(online) * 2 <= len(members):
        text = f"{len(online)} of its {len(members)} members are online"
        advice = "Start the other nodes: without a majority the queue accepts nothing, and the edge waits."
        return Finding(AREA, subject, Level.PROBLEM, text, advice)
    depth = report.get("messages")
    known = "depth not known yet" if depth is None else f"depth {depth}"
    copies = f", {len(online)} of {len(members)} members online" if len(members) > 1 else ""
    return Finding(AREA, subject, Level.OK, f"{known}, no policy limits it{copies}")


def _try_guest(url: str) -> int:
    parts = urlsplit(url)
    api = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/api/whoami")
    return requests.get(urlunsplit(api), auth=("guest", "guest"), timeout=REQUEST_SECONDS).status_code


def _get(api: ManagementApi, path: str) -> dict[str, Any]:
    answer = api.get(path)
    if answer.status_code in {401, 403}:
        answer.raise_for_status()
    report = answer.json()
    if not isinstance(report, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004  treated like an answer that is no JSON
    return report


def _unreachable(error: Exception) -> Finding:
    status = getattr(getattr(error, "response", None), "status_code", None)
    # Never the error's own text: it repeats the address, and with it the password.
    if status:
        text = f"answers {status}"
    elif isinstance(error, requests.Timeout):
        text = f"does not answer within {REQUEST_SECONDS:.0f} s"
    else:
        # requests derives its error about JSON from both.
        is_json = isinstance(error, ValueError) and not isinstance(error, requests.exceptions.InvalidURL)
        text = "answers something else" if is_json else "cannot be reached"
    advice = "Check OM_MANAGEMENT_URL, its user (tag management) and that rabbitmq_management is enabled."
    return Finding(AREA, "API", Level.PROBLEM, text, advice)
