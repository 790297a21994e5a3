"""The export ledger, the ways around bulk exports, and the reconciliation of ids.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0005"
down_revision = "0004"

SQL = """
CREATE TABLE {machinery}.export_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    export_id text UNIQUE,
    lane text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    day date,
    bytes bigint NOT NULL DEFAULT 0,
    replica bigint,
    CONSTRAINT export_job_ended_has_a_day CHECK ((ended_at IS NULL) = (day IS NULL))
);
CREATE INDEX export_job_day_idx ON {machinery}.export_job (day);
CREATE INDEX export_job_running_idx ON {machinery}.export_job (expires_at) WHERE ended_at IS NULL;
COMMENT ON TABLE {machinery}.export_job IS 'Bulk exports of all replicas: who holds one of Marketo''s places, and the day''s volume.';
COMMENT ON COLUMN {machinery}.export_job.id IS 'Number.';
COMMENT ON COLUMN {machinery}.export_job.export_id IS 'Marketo''s id of the job; NULL while it is being created.';
COMMENT ON COLUMN {machinery}.export_job.lane IS 'Who asked for it.';
COMMENT ON COLUMN {machinery}.export_job.started_at IS 'When.';
COMMENT ON COLUMN {machinery}.export_job.expires_at IS 'From then on it no longer holds a place, unless somebody looks after it again.';
COMMENT ON COLUMN {machinery}.export_job.ended_at IS 'When it was seen to have ended.';
COMMENT ON COLUMN {machinery}.export_job.day IS 'The day in US Central time to which its volume counts.';
COMMENT ON COLUMN {machinery}.export_job.bytes IS 'Size of its file.';
COMMENT ON COLUMN {machinery}.export_job.replica IS 'The process that last looked after it; when that dies, the place is free.';

CREATE TABLE {machinery}.walk (
    purpose text PRIMARY KEY,
    state text NOT NULL,
    way text,
    reason text NOT NULL,
    token text,
    seen bigint NOT NULL DEFAULT 0,
    refused bigint,
    allowed bigint,
    started_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT walk_purpose_is_known CHECK (purpose IN ('backfill', 'reconcile')),
    CONSTRAINT walk_state_is_known CHECK (state IN ('running', 'refused', 'done')),
    CONSTRAINT walk_refused_is_told CHECK (state <> 'refused' OR refused IS NOT NULL)
);
COMMENT ON TABLE {machinery}.walk IS 'Passes over all ids of leads: the first load without bulk exports, and the search for leads that are gone.';
COMMENT ON COLUMN {machinery}.walk.purpose IS 'backfill or reconcile.';
COMMENT ON COLUMN {machinery}.walk.state IS 'running, refused (the brake stopped it: a person must allow it), done.';
COMMENT ON COLUMN {machinery}.walk.way IS 'bulk or pages.';
COMMENT ON COLUMN {machinery}.walk.reason IS 'Why it was begun.';
COMMENT ON COLUMN {machinery}.walk.token IS 'Where it stands: a paging token, or the last id that was read.';
COMMENT ON COLUMN {machinery}.walk.seen IS 'Leads seen so far.';
COMMENT ON COLUMN {machinery}.walk.refused IS 'How many leads it would have retired when the brake stopped it.';
COMMENT ON COLUMN {machinery}.walk.allowed IS 'How many leads a person allowed it to retire, once.';
COMMENT ON COLUMN {machinery}.walk.started_at IS 'When it began.';
COMMENT ON COLUMN {machinery}.walk.changed_at IS 'When it last moved.';

CREATE TABLE {machinery}.missing_lead (
    lead_id bigint PRIMARY KEY
);
COMMENT ON TABLE {machinery}.missing_lead IS 'Leads of the mirror that the search for leads that are gone did not find in Marketo.';
COMMENT ON COLUMN {machinery}.missing_lead.lead_id IS 'The lead.';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
