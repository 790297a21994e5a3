"""Which feed the calls were spent by, besides the lane.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0012"
down_revision = "0011"

SQL = """
ALTER TABLE {machinery}.api_call ADD COLUMN feed text NOT NULL DEFAULT 'not known';
COMMENT ON COLUMN {machinery}.api_call.feed IS 'The feed that calls.';

-- The table holds some dozen rows a day.
ALTER TABLE {machinery}.api_spending ADD COLUMN feed text NOT NULL DEFAULT 'not known';
COMMENT ON COLUMN {machinery}.api_spending.feed IS 'The feed that called, by the name that it has among the runs.';
ALTER TABLE {machinery}.api_spending DROP CONSTRAINT api_usage_pkey,
    ADD CONSTRAINT api_spending_pkey PRIMARY KEY (day, lane, feed, endpoint);

CREATE OR REPLACE VIEW {mirror}.api_usage AS SELECT day, lane, endpoint, calls, errors, feed FROM {machinery}.api_spending;
COMMENT ON COLUMN {mirror}.api_usage.lane IS 'How urgent the call was: outbox, changes, memberships, backfill or verify.';
COMMENT ON COLUMN {mirror}.api_usage.feed IS 'Which feed called: outbox, changes, dirty (leads that are read again), lists, programs, members, backfill, verify and others; "no feed" for checks by hand.';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
