"""Fields that change, that are left out or hashed, and the log of all that.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0015"
down_revision = "0014"

SQL = """
ALTER TABLE {mirror}.lead_field ALTER COLUMN column_name DROP NOT NULL;
ALTER TABLE {mirror}.lead_field ADD COLUMN kept_as text NOT NULL DEFAULT 'plain',
    ADD CONSTRAINT lead_field_kept_as_is_known CHECK (kept_as IN ('plain', 'hashed', 'excluded', 'no_room'));
ALTER TABLE {mirror}.lead_field ADD COLUMN _hash_mark text;
COMMENT ON COLUMN {mirror}.lead_field.column_name IS 'Column of lead; NULL where the field never had one.';
COMMENT ON COLUMN {mirror}.lead_field.kept_as IS 'plain; hashed (salted SHA-256, see fields.hash); excluded (by the settings; the column, if there is one, is empty); no_room (lead has as many columns as PostgreSQL allows).';
COMMENT ON COLUMN {mirror}.lead_field._hash_mark IS 'Tells with which salt the hashes were made, and not the salt.';

CREATE TABLE {mirror}.lead_field_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT now(),
    field text NOT NULL,
    what text NOT NULL,
    old text,
    new text
);
CREATE INDEX lead_field_change_field_idx ON {mirror}.lead_field_change (field, id);
COMMENT ON TABLE {mirror}.lead_field_change IS 'Each change of a field of leads, in Marketo or by the settings, in the order in which syncd saw it.';
COMMENT ON COLUMN {mirror}.lead_field_change.id IS 'Order.';
COMMENT ON COLUMN {mirror}.lead_field_change.changed_at IS 'When syncd saw it.';
COMMENT ON COLUMN {mirror}.lead_field_change.field IS 'API name (lead_field.name).';
COMMENT ON COLUMN {mirror}.lead_field_change.what IS 'added, removed (no longer offered by Marketo), returned, column_type, column_kept (its type could not be changed: old is the type, new the reason), or the column of lead_field that changed.';
COMMENT ON COLUMN {mirror}.lead_field_change.old IS 'What it was.';
COMMENT ON COLUMN {mirror}.lead_field_change.new IS 'What it is since.';

ALTER TABLE {machinery}.backfill_window ADD COLUMN only_fields text[];
ALTER TABLE {machinery}.backfill_window ADD COLUMN job_fields text[];
COMMENT ON COLUMN {machinery}.backfill_window.only_fields IS 'The fields that are to be filled, where the window was loaded before; NULL: all.';
COMMENT ON COLUMN {machinery}.backfill_window.job_fields IS 'The fields that the job was made with.';
UPDATE {machinery}.backfill_window SET state = 'planned', export_id = NULL, exported_at = NULL WHERE state IN ('created', 'queued');
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
