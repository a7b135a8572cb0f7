"""omctl simulate: send signed events as the platform would."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from messaging.environment import Environment
from omctl.console import json_option, print_json, print_table, progress_bar
from omctl.secrets import newest_secret
from omctl.simulated_platform import serve
from simulator.ledger import Ledger
from simulator.sender import RetryPolicy, Sender, WebhookEndpoint
from simulator.traffic import Dialect, TrafficPlan, traffic
from webhook_api.settings import header_pairs

if TYPE_CHECKING:
    from simulator.sender import Summary, Tally


EXAMPLES = """\b
Examples:
  omctl simulate http://127.0.0.1:8080/webhooks/genesys/openmessaging
  omctl simulate URL --events 100000 --rate 500 --malformed 1 --ledger answered.jsonl
  omctl simulate URL --seed 7 --dialect both --retry-seconds 0.5
  omctl simulate --platform http://127.0.0.1:8080/webhooks/genesys/openmessaging
"""

PERCENT = click.FloatRange(0, 100)


def repeatable_start(now: datetime) -> datetime:
    """Return the platform's time for a run with a given seed: Monday's midnight.

    The present time would make the bytes differ; an old time would make the events too old to have an effect.
    """
    monday = now - timedelta(days=now.weekday())
    return monday.replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """The command line, as click hands it over; see `omctl simulate --help`."""

    events: int
    conversations: int
    rate: float
    concurrency: int
    duplicates: float
    disorder: float
    collisions: float
    malformed: float
    unknown_fields: float
    dialect: str
    seed: int | None
    retry_seconds: float
    timeout_seconds: float
    honour_retry_after: bool
    unsigned: bool
    ledger: Path | None
    as_json: bool

    def plan(self) -> TrafficPlan:
        """Return what to send; without a seed, something new each time."""
        now = datetime.now(UTC)
        return TrafficPlan(
            events=self.events,
            conversations=self.conversations or max(1, self.events // 10),
            seed=self.seed if self.seed is not None else secrets.randbits(32),
            start=repeatable_start(now) if self.seed is not None else now,
            dialect=Dialect(self.dialect),
            duplicate_share=self.duplicates / 100,
            disorder_share=self.disorder / 100,
            collision_share=self.collisions / 100,
            malformed_share=self.malformed / 100,
            unknown_field_share=self.unknown_fields / 100,
        )

    def policy(self) -> RetryPolicy:
        """Return when to send again."""
        return RetryPolicy(
            delay=self.retry_seconds,
            timeout=self.timeout_seconds,
            honours_retry_after=self.honour_retry_after,
        )


@click.command(epilog=EXAMPLES)
@click.argument("url", required=False)
@click.option("--platform", is_flag=True, help="Be the platform instead: its API, and a page for a browser.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8090, show_default=True, help="… on this port."
)
@click.option(
    "--events", type=click.IntRange(1), default=1000, show_default=True, help="Distinct bodies to send."
)
@click.option(
    "--conversations", type=click.IntRange(0), default=0, help="Spread over so many. [default: events / 10]"
)
@click.option(
    "--rate", type=click.FloatRange(0), default=0.0, help="Events per second. [default: as fast as it goes]"
)
@click.option(
    "--concurrency", type=click.IntRange(1, 512), default=16, show_default=True, help="Requests at a time."
)
@click.option(
    "--duplicates", type=PERCENT, default=5.0, show_default=True, help="Percent that are sent twice."
)
@click.option("--disorder", type=PERCENT, default=5.0, show_default=True, help="Percent that come late.")
@click.option(
    "--collisions", type=PERCENT, default=5.0, show_default=True, help="Percent in the millisecond before."
)
@click.option(
    "--malformed", type=PERCENT, default=0.0, show_default=True, help="Percent that no worker can read."
)
@click.option(
    "--unknown-fields", type=PERCENT, default=5.0, show_default=True, help="Percent with unknown fields."
)
@click.option(
    "--dialect", type=click.Choice([dialect.value for dialect in Dialect]), default="guide", show_default=True
)
@click.option(
    "--seed", type=int, help="Send the same bytes as another run with this seed in this week (UTC)."
)
@click.option(
    "--retry-seconds", type=click.FloatRange(0), default=5.0, show_default=True, help="Between attempts."
)
@click.option(
    "--timeout-seconds", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Per request."
)
@click.option("--honour-retry-after/--ignore-retry-after", default=False, help="[default: ignore]")
@click.option("--unsigned", is_flag=True, help="Send no signature.")
@click.option(
    "--ledger",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was answered, as JSON lines.",
)
@json_option
def simulate(url: str | None, *, platform: bool, port: int, **options: Any) -> None:
    """Send signed events to the webhook at URL, behaving like the platform.

    A body is sent again up to five times, five seconds apart, after a timeout, 429 or 5xx, and never after
    another 4xx. Bodies are signed with the newest of OM_WEBHOOK_SECRETS and carry OM_REQUIRED_HEADERS.
    Exits 1 when some body was never answered 200.

    With --platform it serves the platform's API and a page to play with, until Ctrl-C: conversations that are
    begun there are posted to URL, and to whatever `omctl register` registers.
    """
    if platform:
        serve(Environment(), url, port)
        return
    if not url:
        raise click.UsageError("Name the webhook's URL, or --platform.")
    wanted = SimulateOptions(**options)
    secret = b"" if wanted.unsigned else newest_secret(Environment())
    plan = wanted.plan()
    summary = _send(url, secret, wanted, plan)
    if wanted.as_json:
        print_json({"seed": plan.seed, **asdict(summary)})
    else:
        print_table(("", ""), summary_rows(summary, plan.seed), title="What became of it")
    if summary.unanswered:
        click.echo(f"{summary.unanswered} of {summary.posts} posts were never answered 200.", err=True)
        raise SystemExit(1)


def _send(url: str, secret: bytes, wanted: SimulateOptions, plan: TrafficPlan) -> Summary:
    policy = wanted.policy()
    endpoint = WebhookEndpoint(
        url,
        secret=secret,
        timeout=policy.timeout,
        connections=wanted.concurrency,
        headers=header_pairs(Environment().strings("OM_REQUIRED_HEADERS")),
    )
    with progress_bar() as bar, Ledger(wanted.ledger) as ledger:
        task = bar.add_task("Sending", total=None, note="")

        def show(tally: Tally) -> None:
            note = " ".join(f"{status}: {number}" for status, number in sorted(dict(tally.by_status).items()))
            bar.update(task, completed=tally.settled, total=max(plan.events, tally.settled), note=note)

        sender = Sender(endpoint, traffic(plan), ledger, policy=policy, rate=wanted.rate)
        summary = sender.run(wanted.concurrency, show)
    endpoint.close()
    return summary


def summary_rows(summary: Summary, seed: int) -> list[tuple[str, str]]:
    """Return what a person wants to know of *summary*, label and value."""
    return [
        ("posts (redeliveries included)", f"{summary.posts}"),
        ("answered 200", f"{summary.answered}"),
        *((f"answers with {status}", f"{number}") for status, number in summary.by_status.items()),
        ("retries", f"{summary.retries}"),
        ("latency p50", f"{summary.p50 * 1000:.1f} ms"),
        ("latency p99", f"{summary.p99 * 1000:.1f} ms"),
        ("rate", f"{summary.rate:.0f} requests/s over {summary.seconds:.1f} s"),
        ("seed", f"{seed}"),
    ]
