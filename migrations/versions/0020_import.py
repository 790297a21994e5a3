"""Big backlogs that go out by bulk import.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0020"
down_revision = "0018"

SQL = """
ALTER TABLE {machinery}.outbox_queue ADD COLUMN import_as text;
CREATE INDEX outbox_queue_import_idx ON {machinery}.outbox_queue (import_as, outbox_id)
    WHERE state = 'ready' AND import_as <> '';
COMMENT ON COLUMN {machinery}.outbox_queue.import_as IS 'Rows with the same text here can share a file for bulk import; empty: it goes by a call; NULL: nobody has looked yet.';

CREATE TABLE {machinery}.outbox_import (
    claim bigint PRIMARY KEY,
    state text NOT NULL DEFAULT 'gathering',
    operation text NOT NULL,
    lookup_field text NOT NULL,
    partition_name text,
    replica bigint NOT NULL,
    rows integer NOT NULL DEFAULT 0,
    records integer,
    bytes bigint,
    batch_id bigint,
    request_id text,
    progress text,
    failed integer,
    warned integer,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    posted_at timestamptz,
    look_at timestamptz,
    finished_at timestamptz,
    rest_until timestamptz,
    error_code text,
    error_message text,
    CONSTRAINT outbox_import_state_is_known CHECK (
        state IN ('gathering', 'posting', 'running', 'done', 'failed', 'dropped', 'refused', 'unknown', 'lost')),
    CONSTRAINT outbox_import_finished_has_a_time CHECK ((finished_at IS NULL) = (state IN ('gathering', 'posting', 'running'))),
    CONSTRAINT outbox_import_posted_has_a_time CHECK ((posted_at IS NULL) = (state IN ('gathering', 'dropped'))),
    CONSTRAINT outbox_import_running_has_a_number CHECK (
        state NOT IN ('running', 'done', 'failed', 'lost') OR (batch_id IS NOT NULL AND look_at IS NOT NULL AND records IS NOT NULL))
);
CREATE INDEX outbox_import_unfinished_idx ON {machinery}.outbox_import (look_at) WHERE finished_at IS NULL;
CREATE INDEX outbox_import_finished_at_idx ON {machinery}.outbox_import (finished_at);
COMMENT ON TABLE {machinery}.outbox_import IS 'Each file for bulk import: rows of one claim. Written down before it is handed over and after, so that whoever comes next knows where it stands.';
COMMENT ON COLUMN {machinery}.outbox_import.claim IS 'The claim whose rows it carries.';
COMMENT ON COLUMN {machinery}.outbox_import.state IS 'gathering (rows are claimed, nothing has left), posting (the file is on its way), running (Marketo has given it a number); then done, failed (Marketo gave up half-way), dropped (nothing left), refused (nothing was taken), unknown (whether Marketo took it is not known) or lost (Marketo no longer knows its number).';
COMMENT ON COLUMN {machinery}.outbox_import.operation IS 'What its rows ask for.';
COMMENT ON COLUMN {machinery}.outbox_import.lookup_field IS 'The field by which they name their leads.';
COMMENT ON COLUMN {machinery}.outbox_import.partition_name IS 'Lead partition of its new leads.';
COMMENT ON COLUMN {machinery}.outbox_import.replica IS 'Who hands it over; while it runs any replica looks after it.';
COMMENT ON COLUMN {machinery}.outbox_import.rows IS 'Outbox rows in it.';
COMMENT ON COLUMN {machinery}.outbox_import.records IS 'Lines of the file: consecutive rows of one lead share one.';
COMMENT ON COLUMN {machinery}.outbox_import.bytes IS 'Size of the file.';
COMMENT ON COLUMN {machinery}.outbox_import.batch_id IS 'Marketo''s number of the import.';
COMMENT ON COLUMN {machinery}.outbox_import.request_id IS 'Marketo''s id of the call that handed it over.';
COMMENT ON COLUMN {machinery}.outbox_import.progress IS 'Marketo''s word for how it stands, as of the last look.';
COMMENT ON COLUMN {machinery}.outbox_import.failed IS 'Records that Marketo refused; NULL until their rows are settled.';
COMMENT ON COLUMN {machinery}.outbox_import.warned IS 'Records that Marketo took with a warning.';
COMMENT ON COLUMN {machinery}.outbox_import.started_at IS 'When its first row was claimed.';
COMMENT ON COLUMN {machinery}.outbox_import.posted_at IS 'When it was handed over.';
COMMENT ON COLUMN {machinery}.outbox_import.look_at IS 'When somebody looks after it next.';
COMMENT ON COLUMN {machinery}.outbox_import.finished_at IS 'When its last row was settled.';
COMMENT ON COLUMN {machinery}.outbox_import.rest_until IS 'No further import before, because this one came to nothing.';
COMMENT ON COLUMN {machinery}.outbox_import.error_code IS 'Marketo''s code of the failure.';
COMMENT ON COLUMN {machinery}.outbox_import.error_message IS 'The failure in words.';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
