"""omctl install and uninstall: install, upgrade or remove the service on this host."""

import json
import os
import secrets
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click
import requests
import sqlalchemy as sa
from urllib3.exceptions import InsecureRequestWarning

from messaging.environment import SETTINGS_FILE, Environment, parse_settings
from omctl.installing import credentials, gateway
from omctl.installing import options as saved
from omctl.installing.broker import LISTENERS, server_steps, users_step
from omctl.installing.cluster import cluster_steps
from omctl.installing.credentials import read_stripped
from omctl.installing.database import READER, database_steps, is_ours
from omctl.installing.options import BOTH, ENVIRONMENT, Options, Role
from omctl.installing.removal import plan_removal, purge_steps
from omctl.installing.steps import InstallationError, Step, always, file_step, read, run, run_steps
from omctl.installing.units import account_step, check_roles, configuration_steps, start_steps, unit_steps
from omctl.interface import Command, change_options, is_json, print_table, show_json
from omctl.signatures import SIGNATURE_HEADER
from webhook_api.application import WEBHOOK_PATH
from webhook_api.settings import parse_headers
from webhook_api.signature import sign

FIRST_EVENT_SECONDS: Final = 30.0

pem = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=Command)
@click.option(
    "--role", "roles", type=click.Choice([*(role.value for role in Role), BOTH]), multiple=True,
    help="What this host does. Default: both, with RabbitMQ and PostgreSQL beside it.",
)  # fmt: skip
@click.option("--server-name", help="The name in the certificate. Default: localhost.")
@click.option(
    "--certificate", type=(pem, pem), metavar="PEM KEY",
    help="The certificate and its private key. Default: a self-signed one.",
)  # fmt: skip
@click.option("--bind", help="Address on which the edge listens. Default: 127.0.0.1:8080.")
@click.option(
    "--workers", type=click.IntRange(0),
    help="A fixed number of intake workers. Default: 0, as many as the queue needs.",
)  # fmt: skip
@click.option(
    "--platform-only/--no-platform-only", default=None,
    help="Refuse addresses that are not on the platform's list, once it exists. Default: no.",
)  # fmt: skip
@click.option(
    "--firewall/--no-firewall", default=None,
    help="Limit connections per sender with nftables; with --dry-run, print the rules. Default: no.",
)  # fmt: skip
@click.option(
    "--cluster", metavar="HOST,HOST,HOST",
    help="All hosts of one broker cluster, including this one; install the first one first. "
    "Default: '', a broker of its own.",
)  # fmt: skip
@change_options
def install(
    *, roles: tuple[str, ...], certificate: tuple[Path, Path] | None, dry_run: bool, **given: Any
) -> None:
    """Install or upgrade the service on this Debian host, as root.

    This sets up two accounts, systemd units, settings in /etc/open-messaging, nginx with TLS, RabbitMQ unless
    OM_AMQP_URL names a broker, and PostgreSQL unless OM_DATABASE_URL names a database, with minimal rights.
    Existing secrets, addresses and certificates are kept, so it is safe to run the same command again: it
    updates the tables and restarts the services, while the port stays open and no request is refused. The
    units use the virtual environment from which this omctl runs.

    An option that is not given keeps its last value. To reset it, give its default, such as --role both.

    Examples:
      omctl install --dry-run
      omctl install --server-name hooks.example.com --certificate /etc/ssl/hooks.pem /etc/ssl/hooks.key
      omctl install --cluster om-1,om-2,om-3
      OM_AMQP_URL=amqps://… OM_MANAGEMENT_URL=https://… omctl install --role edge
      OM_AMQP_URL=amqps://… OM_DATABASE_URL=postgresql+psycopg://… omctl install --role worker --workers 4
      omctl install --workers 0 --bind 127.0.0.1:8081
    """
    given["role"] = (roles[0] if len(set(roles)) == 1 else BOTH) if roles else None
    # Do not resolve links: certbot renews a certificate by changing its links.
    given["certificate"] = certificate and (certificate[0].absolute(), certificate[1].absolute())
    options = saved.resolve_options(
        {name.replace("_", "-"): value for name, value in given.items() if value is not None}
    )
    if options.cluster and options.role != BOTH:
        raise click.UsageError("Every host of a cluster has both roles: give --role both, or --cluster ''.")
    if ENVIRONMENT.exists():
        # An upgrade uses the units' settings, which the operator's shell does not have.
        os.environ.setdefault(SETTINGS_FILE, str(ENVIRONMENT))
    _go(plan_installation(options), dry_run=dry_run)
    if given["firewall"] and dry_run and not is_json():
        click.echo(gateway.firewall_rules(options), nl=False)


@click.command(cls=Command)
@click.option(
    "--purge", is_flag=True,
    help="Also delete settings, secrets and journal, and on the last host database and queues.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="With --purge: do not ask for confirmation.")
@change_options
def uninstall(*, purge: bool, yes: bool, dry_run: bool) -> None:
    """Remove the service from this host; its data stays unless --purge is given.

    On a cluster's host, --purge removes the host from the cluster and keeps what the hosts share: the queues,
    users and database are deleted only with the last host. Debian packages and omctl's virtual environment
    under /opt stay.

    Examples:
      omctl uninstall --dry-run
      omctl uninstall --purge --yes
    """
    if purge and not (dry_run or yes or os.geteuid()):
        for title, state in run_steps(purge_steps(), dry_run=True):
            click.echo(f"{state}: {title}", err=True)
        click.confirm("This cannot be undone. Continue?", abort=True, err=True)
    _go(plan_removal(purge=purge), dry_run=dry_run)


def _go(steps: Iterable[Step], *, dry_run: bool) -> None:
    """Carry out the steps as root, and print each step and its state to standard error when it is done."""
    if os.geteuid() and not dry_run:
        raise InstallationError("this needs root: sudo omctl …")
    rows = []
    for title, state in run_steps(steps, dry_run=dry_run):
        click.echo(f"{state}: {title}", err=True)
        rows.append({"step": title, "state": state})
    if not show_json({"steps": rows}):
        counts = Counter(row["state"] for row in rows)
        print_table(("state", "steps"), counts.items())


def plan_installation(options: Options) -> Iterator[Step]:
    """Yield all steps of an installation, in order."""
    check_roles(options)
    yield from saved.saved_option_steps(options)
    yield account_step()
    yield from credentials.given_steps()
    yield from _server_steps(options)
    # Save the options only now, so that a run that fails before this step does not change them.
    yield file_step(saved.SAVED, lambda: saved.render_options(options))
    yield from credentials.missing_steps()
    yield from configuration_steps(options)
    if Role.WORKER in options.roles:
        has_our_reader = f"//{READER}:" in read_stripped(credentials.READER_DATABASE)
        reader = ("--read-only-role", READER) if has_our_reader else ()
        yield _omctl_step("update the tables", options, "migrate", *reader)
        yield _omctl_step("declare exchanges and queues", options, "setup")
    yield from unit_steps(options)
    yield from start_steps(options)
    if Role.EDGE in options.roles:
        yield from gateway.gateway_steps(options)
    yield from gateway.firewall_steps(options)
    if options.role == BOTH:
        yield always("send an event through TLS and find it in SQL", lambda: _try_event(options))


def _server_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that set up the broker and the database, unless the environment names existing ones."""
    if options.cluster:
        yield from cluster_steps(options)
        return
    is_lone = options.role == BOTH
    if (is_lone and LISTENERS.exists()) or not credentials.is_server_named("OM_AMQP_URL"):
        if not is_lone:
            raise _missing("OM_AMQP_URL", "the broker, and OM_MANAGEMENT_URL its management API")
        yield from server_steps(options)
        yield users_step(options)
    if Role.WORKER not in options.roles:
        return
    if (is_lone and is_ours(options)) or not credentials.is_server_named("OM_DATABASE_URL"):
        if not is_lone:
            raise _missing("OM_DATABASE_URL", "the database")
        yield from database_steps(options)


def _missing(name: str, server: str) -> InstallationError:
    return InstallationError(f"{name} must name {server}: edges and workers on several hosts share it")


def _omctl_step(title: str, options: Options, *command: str) -> Step:
    program = [f"{options.prefix}/bin/omctl", *command]
    # The command needs the rights of the user who owns the tables and queues.
    others = {name: value for name, value in os.environ.items() if not name.startswith("OM_")}
    environment = {**others, "CREDENTIALS_DIRECTORY": str(credentials.OWNER)}
    return always(title, lambda: run(program, environment=environment))


def _try_event(options: Options) -> None:
    conversation = f"omctl-install-{secrets.token_hex(8)}"
    _send(render_event(conversation), options)
    engine = sa.create_engine(read_stripped(credentials.OWNER_DATABASE))
    find = sa.text("SELECT count(*) FROM processed_events WHERE conversation_id = :conversation")
    deadline = time.monotonic() + FIRST_EVENT_SECONDS
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(find, {"conversation": conversation}).scalar_one():
                return
        time.sleep(0.2)
    raise InstallationError(
        f"the event was answered 200 but is not in SQL after {FIRST_EVENT_SECONDS:.0f} s: "
        "see journalctl -u 'om-worker@*'"
    )


def render_event(conversation: str) -> bytes:
    """Return an event that is recorded but has no effect, because it belongs to a call, not to a message."""
    now_ms = time.time_ns() // 1_000_000
    detail = {"conversationId": conversation, "eventTime": now_ms, "mediaType": "VOICE"}
    topic = f"v2.detail.events.conversation.{conversation}.customer.end"
    return json.dumps({"topicName": topic, "eventBody": detail}).encode()


def request_headers(body: bytes) -> dict[str, str]:
    """Return the headers that the edge requires: the signature and those in OM_REQUIRED_HEADERS."""
    # The edge's settings file overrides its credentials. The edge does not see this command's environment.
    settings = parse_settings(read(ENVIRONMENT) or "")
    edge = Environment({**settings, "CREDENTIALS_DIRECTORY": str(credentials.CREDENTIALS)})
    secret = edge.string("OM_WEBHOOK_SECRETS").split(",")[0].encode()
    required = dict(parse_headers(edge.strings("OM_REQUIRED_HEADERS")))
    return {**required, "Content-Type": "application/json", SIGNATURE_HEADER: sign(body, secret)}


def _send(body: bytes, options: Options) -> None:
    url = f"https://127.0.0.1{WEBHOOK_PATH}"
    # Only a certificate that omctl install created contains this address.
    is_own = gateway.find_certificate(options)[0] == gateway.CERTIFICATE
    verify = is_own and str(gateway.CERTIFICATE)
    try:
        with warnings.catch_warnings(category=InsecureRequestWarning, action="ignore"):
            response = requests.post(url, body, headers=request_headers(body), timeout=10.0, verify=verify)
    except requests.RequestException as error:
        raise InstallationError(f"{url} does not answer: see systemctl status nginx") from error
    if response.status_code == 403:
        text = f"nginx refuses {url}: check that 127.0.0.1 is listed in {gateway.ADDRESSES}"
        raise InstallationError(text)
    if response.status_code != 200:
        raise InstallationError(f"{url} answered {response.status_code}: see journalctl -u om-api")
