"""List the revisions between two states of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from messaging.errors import OpenMessagingError
from migrations.schema import DIRECTORY, head_revision

BASE: Final = "base"
HEAD: Final = "head"


class UnknownRevisionError(OpenMessagingError):
    """Nothing was changed; name a revision that `omctl migrate --dry-run --down base` lists."""


@dataclass(frozen=True, slots=True)
class Step:
    """One revision to apply or to revert.

    Args:
        revision: Alembic's name of it.
        title: Its first line.
    """

    revision: str
    title: str


def steps_between(upper: str, lower: str | None) -> list[Step]:
    """Return the revisions above *lower* up to *upper*, newest first.

    Args:
        upper: A revision, or HEAD.
        lower: A revision, BASE, or None for an empty database.

    Raises:
        MissingMigrationsError: This installation has no revisions.
        UnknownRevisionError: This version of the code has no such revision, or *lower* is above *upper*.
    """
    head_revision()
    scripts = ScriptDirectory(DIRECTORY)
    try:
        found = list(scripts.iterate_revisions(upper, lower or BASE))
    except (CommandError, RevisionError) as error:
        raise UnknownRevisionError(f"no way between {lower or BASE} and {upper}: {error}") from error
    return [Step(script.revision, script.doc.partition("\n")[0]) for script in found]


def is_newer(revision: str | None) -> bool:
    """Whether *revision* belongs to a later version: a number above this version's newest.

    Raises:
        MissingMigrationsError: This installation has no revisions.
    """
    return revision is not None and revision.isdecimal() and int(revision) > int(head_revision())
