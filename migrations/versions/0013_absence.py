"""What a long absence asks for: windows of dates of change, and what Marketo said it does not offer.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0013"
down_revision = "0012"

SQL = """
ALTER TABLE {machinery}.backfill_window ADD COLUMN filter text NOT NULL DEFAULT 'createdAt',
    ADD CONSTRAINT backfill_window_filter_is_known CHECK (filter IN ('createdAt', 'updatedAt'));
CREATE UNIQUE INDEX backfill_window_filter_range_idx ON {machinery}.backfill_window (filter, starts_at, ends_at);
DROP INDEX {machinery}.backfill_window_range_idx;
COMMENT ON TABLE {machinery}.backfill_window IS 'The dates at which leads were created, or changed, cut into windows of at most 31 days, each loaded by one bulk export.';
COMMENT ON COLUMN {machinery}.backfill_window.filter IS 'The date of a lead that lies in the window: createdAt, or after a long absence updatedAt.';

CREATE TABLE {machinery}.not_offered (
    what text PRIMARY KEY,
    code text NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {machinery}.not_offered IS 'What Marketo refused because the subscription does not have it: it is not asked for again.';
COMMENT ON COLUMN {machinery}.not_offered.what IS 'What.';
COMMENT ON COLUMN {machinery}.not_offered.code IS 'The code of the refusal.';
COMMENT ON COLUMN {machinery}.not_offered.told_at IS 'When.';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
