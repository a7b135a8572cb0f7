"""Prove that the migrations make the tables that the code expects, and take them away again."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
from alembic.util import CommandError

from deploy.local.packages import ensure_postgresql
from deploy.local.postgresql import PrivatePostgreSQL
from migrations import schema


def check_migrations() -> bool:
    """Go up, compare, down and up again on an empty SQLite and an empty PostgreSQL database."""
    ensure_postgresql()
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="open-messaging-migrations-"))
        )
        server = stack.enter_context(PrivatePostgreSQL(directory / "postgresql", durable=False))
        urls = {"SQLite": f"sqlite:///{directory / 'empty.sqlite3'}", "PostgreSQL": server.url()}
        agreed = [_check(name, url) for name, url in urls.items()]
        return all(agreed)


def _check(name: str, url: str) -> bool:
    try:
        schema.upgrade(url)
        schema.check(url)
        schema.downgrade(url, "base")
        schema.upgrade(url)
    except CommandError as error:
        click.echo(f"{name}: {error}", err=True)
        return False
    click.echo(f"{name}: the migrations and the code agree")
    return True
