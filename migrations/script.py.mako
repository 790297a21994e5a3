"""${message}.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

SQL = """
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    ${downgrades if downgrades else "raise RuntimeError('there is no way back from this migration; restore a backup')"}
