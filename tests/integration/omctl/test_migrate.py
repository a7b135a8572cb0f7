"""omctl migrate on both databases."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from messaging.errors import OpenMessagingError
from omctl.connect.prepare import migrate
from workers.db.engine import make_engine
from workers.db.migrations import schema

NEWER = "9999"


def run(url, *arguments, **options):
    return CliRunner().invoke(
        migrate, ["--json", *arguments], env={"OM_DATABASE_URL": url}, catch_exceptions=False, **options
    )


def test_it_goes_up_once_after_a_dry_run_that_changes_nothing(database_url):
    report = json.loads(run(database_url, "--dry-run").output)
    assert (report["steps"][-1]["revision"], report["done"]) == (schema.head_revision(), False)
    assert schema.current_revision(database_url) is None
    assert json.loads(run(database_url).output)["steps"]
    assert schema.current_revision(database_url) == schema.head_revision()
    assert json.loads(run(database_url).output)["steps"] == []


def test_going_down_asks_first(database_url):
    run(database_url)
    assert run(database_url, "--down", "base", input="n\n").exit_code == 1
    assert schema.current_revision(database_url) == schema.head_revision()
    run(database_url, "--down", "base", "--yes")
    assert schema.current_revision(database_url) is None


def test_an_unknown_revision_changes_nothing(database_url):
    with pytest.raises(OpenMessagingError, match="nowhere"):
        run(database_url, "--down", "nowhere", "--yes")
    assert schema.current_revision(database_url) is None


@pytest.fixture
def newer_url(database_url):
    """A database that the next version has brought to a revision of its own."""
    schema.upgrade(database_url)
    _stamp(database_url, NEWER)
    return database_url


def _stamp(url, revision):
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    engine.dispose()


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_tables_that_a_later_version_brought_further_are_left_alone(newer_url, arguments):
    done = CliRunner().invoke(migrate, arguments, env={"OM_DATABASE_URL": newer_url}, catch_exceptions=False)

    assert (done.exit_code, schema.current_revision(newer_url)) == (0, NEWER)
    assert "newer than this version; nothing was changed" in done.output


def test_omctl_does_not_go_down_from_tables_of_a_later_version_nor_up_from_another_programs(newer_url):
    with pytest.raises(OpenMessagingError, match=f"at {NEWER}, newer than this version"):
        run(newer_url, "--down", "base", "--yes")
    assert schema.current_revision(newer_url) == NEWER
    _stamp(newer_url, "ae1027a6acf0")
    with pytest.raises(OpenMessagingError, match="ae1027a6acf0"):
        run(newer_url)
