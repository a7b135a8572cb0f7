"""Run Alembic on the database at OM_DATABASE_URL or at the address that schema.py passes."""

from typing import Any, Final

from alembic import context

from messaging.environment import Environment
from workers.db.engine import PATIENT_SESSION, make_engine
from workers.db.models import metadata

READING: Final = "ix_reading_"
"""Prefix of the indexes for reports; our own statements do not need them, so the models do not list them."""


def is_compared(_item: Any, name: str | None, kind: str, is_reflected: bool, _compared: Any) -> bool:  # noqa: FBT001  # Alembic calls it so
    """Return whether Alembic compares an item with the models; indexes for reports are left out."""
    return not (kind == "index" and is_reflected and (name or "").startswith(READING))


def run() -> None:
    """Run the migrations of an Alembic command, each in its own transaction."""
    url = context.config.attributes.get("url") or Environment().string("OM_DATABASE_URL")
    engine = make_engine(url, PATIENT_SESSION)
    try:
        with engine.connect() as connection:
            context.configure(
                connection=connection,
                target_metadata=metadata,
                transaction_per_migration=True,
                include_object=is_compared,
                # SQLite cannot change a column in place, so Alembic copies the table.
                render_as_batch=connection.dialect.name == "sqlite",
            )
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


run()
