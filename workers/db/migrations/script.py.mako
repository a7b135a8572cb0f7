"""${message}.

Rules: while the old version still runs beside the new version, only add; test upgrade and downgrade on both
databases; give every column a comment; create indexes on large tables CONCURRENTLY, in separate migrations.
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
