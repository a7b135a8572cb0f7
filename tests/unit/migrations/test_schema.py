"""An installation without revisions is told as such; Alembic would call an empty database up to date."""

import pytest

from omctl.look.database import judge_tables
from omctl.look.findings import Level
from workers.db.migrations import schema


@pytest.mark.parametrize("folders", [(), ("versions",)])
def test_an_installation_without_revisions_is_an_error(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir()
    with pytest.raises(schema.MissingMigrationsError, match="pip install"):
        schema.head_of(tmp_path)


def test_the_newest_revision_is_the_one_that_no_other_follows():
    assert schema.head_of(schema.DIRECTORY) == schema.head_revision()


def test_a_dropped_table_is_named():
    finding = judge_tables(["drift"])
    assert finding.level is Level.PROBLEM
    assert "drift" in finding.text
