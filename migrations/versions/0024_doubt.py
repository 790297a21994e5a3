"""Rows that shared a record of unknown outcome find each other again by the claim that they shared.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0024"
down_revision = "0023"

DOUBT = """
ALTER TABLE {machinery}.outbox_queue ADD COLUMN doubt bigint;
COMMENT ON COLUMN {machinery}.outbox_queue.doubt IS 'The claim of its latest attempt of unknown outcome; rows of one record share it.';
UPDATE {machinery}.outbox_queue q
SET doubt = (SELECT max(a.claim) FROM {machinery}.outbox_attempt a WHERE a.outbox_id = q.outbox_id AND a.outcome = 'unknown')
WHERE unknown;
CREATE INDEX outbox_queue_doubt_idx ON {machinery}.outbox_queue (doubt, run) WHERE doubt IS NOT NULL;
"""


def upgrade() -> None:
    names = context.config.attributes["names"]
    op.execute(DOUBT.format(**names))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
