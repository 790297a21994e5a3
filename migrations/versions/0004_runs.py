"""Runs of the outbox: rows of one lead that can share a record.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0004"
down_revision = "0003"

SQL = """
ALTER TABLE {machinery}.outbox_queue ADD COLUMN run bigint;
COMMENT ON COLUMN {machinery}.outbox_queue.run IS 'Rows of one run and one shape write the same lead and can share a record; NULL where a row goes alone.';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
