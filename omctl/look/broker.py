"""Check the broker: its objects over AMQP; its alarms, queue depths and policies over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests

from messaging import topology
from messaging.admin import BrokerObject, ObjectState, broker_session, inspect
from messaging.environment import Environment
from messaging.errors import BrokerUnavailableError, ConfigurationError
from messaging.management import ManagementApi, quote_vhost
from omctl.look.findings import Finding, Level, check_areas, note, ok, problem, warning
from omctl.look.settings import HIDDEN, redact_urls

NODE_SECONDS: Final = 6.0
REQUEST_SECONDS: Final = 3.0
LOSING_POLICY_KEYS: Final = ("max-length", "max-length-bytes", "message-ttl", "expires")
"""Policy keys that let a queue drop events silently if publisher confirms are off."""
MEMBERS: Final = 3
"""The number of members that a queue gets if it is declared in a cluster of three nodes or more."""
STOPPED: Final = frozenset({"crashed", "down", "minority", "recovering", "stopped"})
"""States of a queue, as the management API reports them, in which the queue has no leader that responds."""
LEADERLESS: Final = ("members are online", "no majority of the queue's members", "its state is ")
"""Phrases in a finding of omctl or the edge that show that a queue has no leader."""


def check_broker() -> Iterator[Finding]:
    """Yield findings about the connection to each node, and about the queues on the first to answer."""
    environment = Environment()
    urls, managed = environment.strings("OM_AMQP_URL"), environment.strings("OM_MANAGEMENT_URL")
    # Query all nodes at once, because a single frozen node can block for longer than the area's time limit.
    shown = redact_urls(",".join(urls)).split(", ")
    names = shown if len(shown) == len(urls) else [f"address {number}" for number in range(1, len(urls) + 1)]
    advice = "Check its host and port, that its broker runs, and its connection limit." if urls[1:] else ""
    nodes = {name: partial(_inspect_node, (url,), advice) for name, url in zip(names, urls, strict=True)}
    nodes = nodes or {"": partial(_inspect_node, ())}
    found = check_areas(nodes, NODE_SECONDS)
    answering = next((finding.area for finding in found if finding.level is Level.OK), None)
    for finding in found:
        if finding.subject in {"connection", "check"}:
            node = f" at {finding.area}" if len(urls) > 1 else ""
            yield replace(finding, subject=finding.subject + node)
        elif finding.area == answering:
            yield finding
    has_confirms = environment.boolean("OM_PUBLISHER_CONFIRMS", default=False)
    if urls or has_confirms:
        yield judge_proof(len(urls), len(managed), has_confirms=has_confirms)


def _inspect_node(urls: tuple[str, ...], advice: str = "") -> list[Finding]:
    """Return findings about one node; *advice* replaces the error's advice, which is about all nodes."""
    try:
        with broker_session(urls, client_name="omctl check") as connection:
            return [ok("connection", "the broker answers"), *map(judge_object, inspect(connection))]
    except BrokerUnavailableError as error:
        return [problem("connection", "does not work", advice or str(error))]
    except ConfigurationError as error:
        return [problem("connection", "does not work", str(error))]


def judge_object(item: BrokerObject) -> Finding:
    """Judge one exchange or queue."""
    subject = f"{item.kind} {item.name}"
    if item.state is ObjectState.MISSING:
        return problem(subject, "is missing", "Run omctl setup.")
    if item.state is not ObjectState.EXISTS:
        return problem(subject, item.explanation, "Run omctl setup: it reports what to do.")
    if item.kind == "exchange":
        return ok(subject, "exists")
    text = f"exists, {item.ready} ready, {item.consumers} consumers"
    if item.name == topology.EVENTS_QUEUE and not item.consumers:
        advice = "No worker consumes events: start one with python -m workers intake."
    elif item.name == topology.DEAD_LETTERS and item.ready:
        advice = "omctl dead-letters list shows the reasons."
    elif item.name == topology.UNROUTED and item.ready and not item.consumers:
        advice = "Events matched no binding: run omctl setup; intake also reads this queue."
    else:
        return ok(subject, text)
    return warning(subject, text, advice)


def withdraw_counts(findings: list[Finding]) -> list[Finding]:
    """Return *findings*, but without the counts of each queue that another finding reports as leaderless.

    A passive declare of a queue without a leader returns 0 or the last known count.
    """
    bad = (finding for finding in findings if any(text in finding.text for text in LEADERLESS))
    silent = {finding.subject.partition(" at ")[0] for finding in bad}
    if any("://" in subject for subject in silent):
        # A finding from the edge has the edge's address as its subject, but is about the events queue.
        silent.add(f"queue {topology.EVENTS_QUEUE}")
    text = "exists; depth and consumers are unknown: a majority of its nodes does not answer"
    advice = "Start the queue's other nodes; the findings of the management API and of the edge name them."
    unknown = partial(replace, level=Level.WARNING, text=text, advice=advice)
    return [
        unknown(finding) if finding.subject in silent and "exists, " in finding.text else finding
        for finding in findings
    ]


def judge_proof(brokers: int, management_urls: int, *, has_confirms: bool) -> Finding:
    """Judge how the edge proves journal entries, given the numbers of brokers and management APIs."""
    subject = "release of the journal"
    if has_confirms:
        return ok(subject, "by publisher confirms")
    if brokers == 1:
        return ok(subject, "by the barrier, with one broker")
    if not management_urls:
        text = f"{brokers} brokers are configured but no management API: events may be lost unnoticed"
        advice = (
            "Set OM_MANAGEMENT_URL, an address for each broker, or OM_PUBLISHER_CONFIRMS=true: a queue "
            "without a majority silently drops every event that is published to it."
        )
        return problem(subject, text, advice)
    if management_urls != brokers:
        text = f"{brokers} brokers are configured, but {management_urls} addresses of the management API"
        advice = "Set one for each broker in the same order, so that each node reports for itself."
        return warning(subject, text, advice)
    return ok(subject, "by the barrier, while the queue has a majority")


def check_management(urls: tuple[str, ...], amqp_urls: tuple[str, ...]) -> list[Finding]:
    """Query each node's management API about the virtual host in *amqp_urls*.

    This can take several seconds for each node.
    """
    if not urls:
        advice = (
            "Set OM_MANAGEMENT_URL: without it the edge cannot see the queue's depth and cannot answer 429."
        )
        return [warning("API", "is not configured", advice)]
    hosts = redact_urls(",".join(urls)).split(", ")
    if hosts == [HIDDEN]:
        advice = "Percent-encode commas and other special characters of user and password."
        return [problem("API", "has a malformed URL", advice)]
    try:
        vhost = quote_vhost(amqp_urls)
    except ConfigurationError as error:
        return [problem("API", "cannot be queried without the virtual host", str(error))]
    return [
        replace(finding, subject=finding.subject + (f" at {host}" if len(urls) > 1 else ""))
        for url, host in zip(urls, hosts, strict=True)
        for finding in _check_node(url, vhost, len(amqp_urls))
    ]


def _check_node(url: str, vhost: str, brokers: int) -> list[Finding]:
    api, whoami = ManagementApi(url, REQUEST_SECONDS), f"{url.rstrip('/')}/api/whoami"
    try:
        guest = requests.get(whoami, auth=("guest", "guest"), timeout=REQUEST_SECONDS)
        return [
            judge_alarms(_get(api, "health/checks/alarms")),
            judge_guest(guest.status_code, urlsplit(url).hostname),
            *(
                judge_queue(queue, _get(api, f"queues/{vhost}/{quote(queue, safe='')}"), brokers)
                for queue in topology.QUEUES
            ),
        ]
    except (requests.RequestException, ValueError) as error:
        return [_unreachable(error)]


def judge_alarms(report: dict[str, Any]) -> Finding:
    """Judge the response of the management API's alarm check."""
    alarms = [f"{alarm.get('resource')} on {alarm.get('node')}" for alarm in report.get("alarms", [])]
    if not alarms and report.get("status") == "ok":
        return ok("alarms", "none")
    text = ", ".join(alarms) or str(report.get("reason") or report)
    advice = "The broker accepts no events: free memory or disk there. The edge keeps them in its journal."
    return problem("alarms", text, advice)


def judge_guest(status: int, host: str | None) -> Finding:
    """Judge the status with which the API at *host* responds to RabbitMQ's default user and password."""
    if status != 200 and host not in {"localhost", "127.0.0.1", "::1"}:
        return note("user guest", "is not checked: by default it may log in only on the broker's own host")
    if status != 200:
        return ok("user guest", "has no access with its initial password")
    advice = (
        "Every user of the broker's host can read, forge and delete events: rabbitmqctl delete_user guest"
    )
    return warning("user guest", "is an administrator with its initial password", advice)


def judge_queue(queue: str, report: dict[str, Any], brokers: int = 1) -> Finding:
    """Judge one queue's members, policies and depth; *brokers* is the number of configured brokers."""
    subject = f"queue {queue}"
    if report.get("error"):
        return problem(subject, str(report.get("reason", report["error"])), "Run omctl setup.")
    members, online = report.get("members", []), report.get("online", [])
    if members and len(online) * 2 <= len(members):
        text = f"{len(online)} of its {len(members)} members are online"
        advice = "Start the other nodes: without a majority the queue accepts nothing, and the edge waits."
        return problem(subject, text, advice)
    if (state := report.get("state")) in STOPPED:
        return problem(subject, f"its state is {state}", "Start its nodes: it accepts nothing.")
    policy = report.get("effective_policy_definition") or {}
    if losing := ", ".join(key for key in LOSING_POLICY_KEYS if key in policy):
        name = report.get("policy") or report.get("operator_policy") or "a policy"
        advice = f"Remove {losing} from {name}: without publisher confirms it drops events."
        return problem(subject, f"{name} sets {losing}", advice)
    depth = report.get("messages")
    known = "depth not known yet" if depth is None else f"depth {depth}"
    wanted = max(len(members), min(brokers, MEMBERS)) if members else 0
    copies = f", {len(online)} of {wanted} members online" if wanted > 1 else ""
    text = f"{known}, no policy limits it{copies}"
    if len(online) < wanted:
        advice = "Start the other nodes; rabbitmq-queues grow NODE all adds the member that a node lacks."
        return warning(subject, text, advice)
    return ok(subject, text)


def _get(api: ManagementApi, path: str) -> dict[str, Any]:
    answer = api.get(path)
    if answer.status_code in {401, 403}:
        answer.raise_for_status()
    report = answer.json()
    if not isinstance(report, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004  treated like an answer that is not JSON
    return report


def _unreachable(error: Exception) -> Finding:
    # Never show the error's own text: it contains the URL and its password.
    if status := getattr(getattr(error, "response", None), "status_code", None):
        text = f"answers {status}"
    elif isinstance(error, requests.Timeout):
        text = f"does not answer within {REQUEST_SECONDS:.0f} s"
    else:
        # requests.JSONDecodeError is both a RequestException and a ValueError.
        is_json = isinstance(error, ValueError) and not isinstance(error, requests.exceptions.InvalidURL)
        text = "does not answer with JSON" if is_json else "cannot be reached"
    advice = "Check OM_MANAGEMENT_URL, its user (tag management) and that rabbitmq_management is enabled."
    return problem("API", text, advice)
