"""omctl install and uninstall: bring the service up on this host, or up to date, and take it away again."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from messaging.environment import SETTINGS_FILE
from omctl.console import print_json, print_table
from omctl.installing.gateway import firewall_rules
from omctl.installing.installation import plan_installation
from omctl.installing.options import BOTH, ENVIRONMENT, Role, resolve_options
from omctl.installing.removal import plan_removal, purge_steps
from omctl.installing.steps import InstallationError, Step, run_steps
from omctl.options import change_options

EXAMPLES: Final = """\b
Examples:
  omctl install --dry-run
  omctl install --server-name hooks.example.com --certificate /etc/ssl/hooks.pem /etc/ssl/hooks.key
  omctl install --cluster om-1,om-2,om-3
  OM_AMQP_URL=amqps://… OM_MANAGEMENT_URL=https://… omctl install --role edge
  OM_AMQP_URL=amqps://… OM_DATABASE_URL=postgresql+psycopg://… omctl install --role worker --workers 4
  omctl install --workers 0 --bind 127.0.0.1:8081
"""
REMOVAL_EXAMPLES: Final = """\b
Examples:
  omctl uninstall --dry-run
  omctl uninstall --purge --yes
"""
pem = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)


@click.command(epilog=EXAMPLES)
@click.option(
    "--role", "roles", type=click.Choice([*(role.value for role in Role), BOTH]), multiple=True,
    help="What this host does. Default: both, with RabbitMQ and PostgreSQL beside it.",
)  # fmt: skip
@click.option("--server-name", help="The name in the certificate. Default: localhost.")
@click.option(
    "--certificate", type=(pem, pem), metavar="PEM KEY",
    help="The certificate and its private key. Default: a self-signed one.",
)  # fmt: skip
@click.option("--bind", help="Where the edge listens. Default: 127.0.0.1:8080.")
@click.option(
    "--workers", type=click.IntRange(0),
    help="A fixed number of intake workers. Default: 0, as many as the queue needs.",
)  # fmt: skip
@click.option(
    "--platform-only/--no-platform-only", default=None,
    help="Refuse addresses outside the platform's list, once there is one. Default: no.",
)  # fmt: skip
@click.option(
    "--firewall/--no-firewall", default=None,
    help="Limit connections by sender with nftables; with --dry-run, print the rules. Default: no.",
)  # fmt: skip
@click.option(
    "--cluster", metavar="HOST,HOST,HOST",
    help="All hosts of one broker cluster, including this one; install the first one first. "
    "Default: '', a broker of its own.",
)  # fmt: skip
@change_options
def install(
    *,
    roles: tuple[str, ...],
    certificate: tuple[Path, Path] | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Install or upgrade the service on this Debian host, as root.

    This creates an account, systemd units, settings in /etc/open-messaging, nginx with TLS and, unless
    OM_AMQP_URL or OM_DATABASE_URL name others, RabbitMQ and PostgreSQL with users of minimal rights. Existing
    secrets, addresses and certificates stay, so it is safe to run the same command again: it updates the
    tables and restarts the services, while the port stays open and refuses no request. The units run the
    virtual environment of this omctl.

    An option that is not given keeps its last value. To reset it, give its default: --role both, --workers 0.
    """
    given["role"] = (roles[0] if len(set(roles)) == 1 else BOTH) if roles else None
    options = resolve_options(
        {name.replace("_", "-"): value for name, value in given.items() if value is not None}, certificate
    )
    if options.cluster and not (options.is_edge and options.is_worker):
        raise click.UsageError("A host of the cluster has both roles: give --role both, or --cluster ''.")
    _check_root(dry_run=dry_run)
    if ENVIRONMENT.exists():
        # An upgrade uses the units' settings, which its own shell does not have.
        os.environ.setdefault(SETTINGS_FILE, str(ENVIRONMENT))
    _go(plan_installation(options), dry_run=dry_run, as_json=as_json)
    if given["firewall"] and dry_run and not as_json:
        click.echo(firewall_rules(options), nl=False)


@click.command(epilog=REMOVAL_EXAMPLES)
@click.option(
    "--purge", is_flag=True,
    help="Also delete settings, secrets and journal, and on the last host database and queues.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="With --purge: do not ask for confirmation.")
@change_options
def uninstall(*, purge: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the service from this host; its data stays unless --purge is given.

    On a host of a cluster, --purge leaves the cluster and does not touch what the hosts share: queues, users
    and database are deleted with the last host. Debian's packages and the virtual environment of this omctl
    under /opt stay.
    """
    _check_root(dry_run=dry_run)
    if purge and not dry_run and not yes:
        for title, state in run_steps(purge_steps(), dry_run=True):
            click.echo(f"{state}: {title}", err=True)
        click.confirm("This cannot be undone. Continue?", abort=True, err=True)
    _go(plan_removal(purge=purge), dry_run=dry_run, as_json=as_json)


def _check_root(*, dry_run: bool) -> None:
    if os.geteuid() and not dry_run:
        raise InstallationError("this needs root: sudo omctl …")


def _go(steps: Iterable[Step], *, dry_run: bool, as_json: bool) -> None:
    """Carry the steps out, reporting each on standard error as it is done."""
    rows = []
    for title, state in run_steps(steps, dry_run=dry_run):
        click.echo(f"{state}: {title}", err=True)
        rows.append((title, state))
    if as_json:
        print_json({"steps": [{"step": title, "state": state} for title, state in rows]})
    else:
        counts = Counter(state for _, state in rows)
        print_table(("state", "steps"), [(state, str(number)) for state, number in counts.items()])
