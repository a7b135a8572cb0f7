"""omctl simulate: send signed events as the platform would, or serve a simulated platform."""

import secrets
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from messaging.environment import Environment
from messaging.errors import OpenMessagingError
from omctl.interface import Command, json_option, print_table, progress_bar, show_json
from omctl.signatures import live_secrets
from simulator.ledger import Ledger
from simulator.platform import Organisation
from simulator.platform import serve_platform as serve_simulator
from simulator.sender import RetryPolicy, Summary, Tally, WebhookEndpoint, WebhookSender
from simulator.traffic import Dialect, TrafficPlan, longest_span, traffic
from webhook_api.settings import parse_headers

CLIENT: Final = "simulated"
"""The OAuth client's id and secret if the environment sets none: the simulator needs no real secret."""

STOPPING: Final = frozenset({signal.SIGINT, signal.SIGTERM})


def _share(name: str, default: float, text: str) -> Callable[..., Any]:
    """Return a click option that is given in percent and passed to the command as a fraction."""
    percent = click.FloatRange(0, 100)
    field = f"{name.removeprefix('--').removesuffix('s').replace('-', '_')}_share"
    return click.option(
        name, field, type=percent, default=default, help=text,
        callback=lambda _context, _option, value: value / 100,
    )  # fmt: skip


@click.command(cls=Command, context_settings={"show_default": True})
@click.argument("url", required=False)
@click.option("--platform", is_flag=True, help="Serve the platform's API and a page for a browser instead.")
@click.option("--port", type=click.IntRange(1, 65535), default=8090, help="Port of --platform.")
@click.option("--events", type=click.IntRange(1), default=1000, help="Distinct bodies.")
@click.option("--conversations", type=click.IntRange(0), help="Conversations. [default: events / 10]")
@click.option("--rate", type=click.FloatRange(0), help="Events per second. [default: no limit]")
@click.option("--concurrency", type=click.IntRange(1, 512), default=16, help="Parallel requests.")
@_share("--duplicates", 5.0, "Percent sent twice.")
@_share("--disorder", 5.0, "Percent sent late.")
@_share("--collisions", 5.0, "Percent with an earlier timestamp.")
@_share("--malformed", 0.0, "Percent unreadable.")
@_share("--unknown-fields", 5.0, "Percent with unknown fields.")
@click.option(
    "--dialect", type=click.Choice([dialect.value for dialect in Dialect]), default="guide", show_default=True
)
@click.option("--seed", type=int, help="Send the same bytes as another run with this seed this week (UTC).")
@click.option(
    "--retry-seconds", "delays", type=click.FloatRange(0), default=[5.0], multiple=True,
    help="Between attempts; once for all five retries, or once for each retry.",
)  # fmt: skip
@click.option("--timeout-seconds", "timeout", type=click.FloatRange(0.1), default=10.0, help="Per request.")
@click.option("--honour-retry-after/--ignore-retry-after", "honours", default=None, help="[default: ignore]")
@click.option("--unsigned", is_flag=True, help="Send no signature.")
@click.option(
    "--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Write the answers as JSON lines."
)
@json_option
def simulate(url: str | None, *, platform: bool, port: int, ledger: Path | None, **options: Any) -> None:
    """Send signed events to the webhook at URL, as the platform does.

    After a timeout, a 429 or a 5xx, a body is sent again up to five times, five seconds apart; after any
    other 4xx, it is not. Requests are signed with the newest secret in OM_WEBHOOK_SECRETS and carry the
    headers in OM_REQUIRED_HEADERS. Exit status 1: a body was never answered with 200.

    With --platform, the command instead serves the platform's API and a page until Ctrl-C. Events of
    conversations started there are posted to URL and to every webhook that `omctl register` registers.

    Examples:
      omctl simulate http://127.0.0.1:8080/webhooks/genesys/openmessaging
      omctl simulate URL --events 100000 --rate 500 --malformed 1 --ledger answered.jsonl
      omctl simulate URL --seed 7 --dialect both --retry-seconds 0.5
      omctl simulate URL --retry-seconds 5 --retry-seconds 30 --retry-seconds 300
      omctl simulate --platform http://127.0.0.1:8080/webhooks/genesys/openmessaging
    """
    environment = Environment()
    if platform:
        serve_platform(environment, url, port)
        return
    if not url or not url.startswith(("http://", "https://")):
        raise click.UsageError("Give the webhook's URL, such as http://127.0.0.1:8080/…, or --platform.")
    take = options.pop
    delays = take("delays")
    policy = RetryPolicy(delays if len(delays) > 1 else delays * 5, take("timeout"), bool(take("honours")))
    rate, concurrency = take("rate") or 0.0, take("concurrency")
    secret = b"" if take("unsigned") else live_secrets(environment)[0]
    headers = dict(parse_headers(environment.strings("OM_REQUIRED_HEADERS")))
    limits = {"timeout": policy.timeout, "connections": concurrency}
    try:
        endpoint = WebhookEndpoint(url, secret=secret, headers=headers, **limits)
    except ValueError:
        raise click.UsageError(f"{url} is not a URL.") from None
    plan = make_plan(datetime.now(UTC), dialect=Dialect(take("dialect")), **options)
    with Ledger(ledger) as answers, closing(endpoint):
        sender = WebhookSender(endpoint, traffic(plan), answers, policy=policy, rate=rate)
        summary = _send(sender, plan, concurrency)
    _report(summary, plan.seed)


def _report(summary: Summary, seed: int) -> None:
    if not show_json({"seed": seed, **asdict(summary)}):
        rows = (
            ("posts (redeliveries included)", summary.posts),
            ("answered 200", summary.answered),
            *((f"answers with {status}", number) for status, number in summary.by_status.items()),
            ("retries", summary.retries),
            ("latency p50", f"{summary.p50 * 1000:.1f} ms"),
            ("latency p99", f"{summary.p99 * 1000:.1f} ms"),
            ("rate", f"{summary.rate:.0f} requests/s over {summary.seconds:.1f} s"),
            ("seed", seed),
        )
        print_table(("", ""), rows, title="Result")
    if summary.unanswered:
        click.echo(f"{summary.unanswered} of {summary.posts} posts were never answered 200.", err=True)
        raise SystemExit(1)


def make_plan(
    now: datetime, events: int, conversations: int | None, seed: int | None, **options: Any
) -> TrafficPlan:
    """Return the traffic plan. Without a seed, the traffic differs in every run.

    With a seed, the events' times end on this week's Monday at 00:00 UTC: if they ended at the current time,
    the bytes would differ between runs; if they ended much earlier, the events would have no effect.
    """
    conversations = conversations or max(1, events // 10)
    if seed is None:
        seed, end = secrets.randbits(32), now
    else:
        monday = now - timedelta(days=now.weekday())
        end = monday.replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - longest_span(events, conversations)
    return TrafficPlan(events, conversations, seed, start, **options)


def _send(sender: WebhookSender, plan: TrafficPlan, concurrency: int) -> Summary:
    with progress_bar() as bar:
        task = bar.add_task("Sending", total=None, note="")

        def show(tally: Tally) -> None:
            note = " ".join(f"{status}: {number}" for status, number in sorted(dict(tally.by_status).items()))
            bar.update(task, completed=tally.settled, total=max(plan.events, tally.settled), note=note)

        return sender.run(concurrency, show)


def register_edge(organisation: Organisation, url: str, environment: Environment) -> None:
    """Register the edge at *url* with a simulated platform, using the edge's own settings."""
    headers = dict(parse_headers(environment.strings("OM_REQUIRED_HEADERS")))
    secret = live_secrets(environment)[0].decode() if environment.strings("OM_WEBHOOK_SECRETS") else ""
    is_signed = not environment.boolean("OM_ALLOW_UNSIGNED", default=False)
    organisation.registrations.register_both(url, headers, secret, is_signed=is_signed)


def serve_platform(environment: Environment, url: str | None, port: int) -> None:
    """Serve the simulated platform on loopback until SIGINT or SIGTERM; register *url* with it if given."""
    client_id = environment.string("OM_GENESYS_CLIENT_ID", CLIENT)
    # Block the signals before the first thread starts, so that no other thread receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    organisation = Organisation(client_id, environment.string("OM_GENESYS_CLIENT_SECRET", CLIENT))
    if url:
        register_edge(organisation, url, environment)
    try:
        with serve_simulator(organisation, port, environment.string("OM_DATABASE_URL")) as address:
            click.echo(f"The simulated platform and its page: {address}/")
            if client_id == CLIENT:
                click.echo(f"OM_GENESYS_API_URL={address}")
                click.echo(f"OM_GENESYS_CLIENT_ID={CLIENT} OM_GENESYS_CLIENT_SECRET={CLIENT}")
            click.echo("Ctrl-C stops it")
            signal.sigwait(STOPPING)
    except (OSError, SystemExit):
        # werkzeug raises SystemExit if the port is already in use.
        raise OpenMessagingError(f"port {port} of this host is in use: choose another with --port") from None
