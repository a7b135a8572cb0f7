"""Which revisions of a database are of a later version."""

import pytest
from alembic.script import ScriptDirectory

from migrations.schema import DIRECTORY
from omctl.check.database import revision_finding
from omctl.check.finding import Level
from omctl.revisions import is_newer

OURS = [script.revision for script in ScriptDirectory(DIRECTORY).walk_revisions()]


@pytest.mark.parametrize(
    ("revision", "newer"),
    [(None, False), ("0001", False), ("9999", True), ("ae1027a6acf0", False)],
)
def test_a_number_above_the_newest_belongs_to_a_later_version(revision, newer):
    assert is_newer(revision) is newer


def test_every_revision_of_ours_is_a_number():
    assert [revision for revision in OURS if not revision.isdecimal()] == []


@pytest.mark.parametrize(
    ("revision", "level"),
    [(OURS[0], Level.OK), ("9999", Level.NOTE), ("0000", Level.PROBLEM), (None, Level.PROBLEM)],
)
def test_only_tables_that_lack_a_revision_are_a_problem(revision, level):
    finding = revision_finding(revision, OURS[0])
    assert finding.level is level
    assert finding.advice == ("Run omctl migrate." if level is Level.PROBLEM else "")
