"""Whose sweep it is, so that what a killed process left is cleared away.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0010"
down_revision = "0009"

SQL = """
ALTER TABLE {machinery}.swept_member ADD COLUMN owner text NOT NULL DEFAULT 'lists';
COMMENT ON COLUMN {machinery}.swept_member.owner IS 'The feed that reads: under its lock, rows of earlier runs are left over from a process that died.';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
