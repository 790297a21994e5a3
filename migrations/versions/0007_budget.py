"""The ledger by lanes: who waits, what was lent, the pace, and what Marketo itself counted.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0007"
down_revision = "0006"

SQL = """
-- A few hundred rows at most: the rate is to outlive a crash of the server, so they are logged.
ALTER TABLE {machinery}.api_call SET LOGGED;
ALTER TABLE {machinery}.api_call
    ADD COLUMN IF NOT EXISTS replica bigint,
    ADD COLUMN charged boolean NOT NULL DEFAULT true,
    ADD COLUMN lent boolean NOT NULL DEFAULT false;
ALTER TABLE {machinery}.api_call SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON COLUMN {machinery}.api_call.replica IS 'The replica that calls; once its session has ended, the call soon no longer counts as under way.';
COMMENT ON COLUMN {machinery}.api_call.charged IS 'Whether it counts in the rate: not where Marketo refused the call as a whole.';
COMMENT ON COLUMN {machinery}.api_call.lent IS 'Whether it was lent out of the part of the rate that is kept for other lanes.';

CREATE UNLOGGED TABLE {machinery}.api_wait (
    waiter text NOT NULL,
    lane text NOT NULL,
    callers integer NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    until timestamptz NOT NULL,
    PRIMARY KEY (waiter, lane)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON TABLE {machinery}.api_wait IS 'Who waits for a call, one row a process and lane, so that no less urgent lane takes what is needed.';
COMMENT ON COLUMN {machinery}.api_wait.waiter IS 'A process, by a random name.';
COMMENT ON COLUMN {machinery}.api_wait.lane IS 'Its lane.';
COMMENT ON COLUMN {machinery}.api_wait.callers IS 'How many of its callers wait.';
COMMENT ON COLUMN {machinery}.api_wait.since IS 'Since when the first of them waits.';
COMMENT ON COLUMN {machinery}.api_wait.until IS 'When it no longer counts as waiting, should the process have died.';

CREATE TABLE {machinery}.api_pace (
    lane text NOT NULL,
    slot timestamptz NOT NULL,
    calls bigint NOT NULL,
    PRIMARY KEY (lane, slot)
);
COMMENT ON TABLE {machinery}.api_pace IS 'Calls of each lane in each ten minutes of the last days, for the forecast.';
COMMENT ON COLUMN {machinery}.api_pace.lane IS 'Who called.';
COMMENT ON COLUMN {machinery}.api_pace.slot IS 'Beginning of the ten minutes.';
COMMENT ON COLUMN {machinery}.api_pace.calls IS 'Calls that went out.';

CREATE TABLE {machinery}.quota_seen (
    day date PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    total bigint NOT NULL,
    ours bigint NOT NULL,
    others bigint NOT NULL
);
COMMENT ON TABLE {machinery}.quota_seen IS 'What Marketo itself counted, by its day: all integrations together.';
COMMENT ON COLUMN {machinery}.quota_seen.day IS 'Day in US Central time.';
COMMENT ON COLUMN {machinery}.quota_seen.seen_at IS 'When it was last asked for.';
COMMENT ON COLUMN {machinery}.quota_seen.total IS 'Calls of all integrations, as Marketo counted them.';
COMMENT ON COLUMN {machinery}.quota_seen.ours IS 'Calls in syncd''s own books at that moment.';
COMMENT ON COLUMN {machinery}.quota_seen.others IS 'Calls of other integrations; within a day it only grows.';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
