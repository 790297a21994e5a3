"""Optimistic locks of outbox rows, and the log of conflicts.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0009"
down_revision = "0008"

SQL = """
ALTER TABLE {mirror}.outbox ADD COLUMN if_matches jsonb, ADD COLUMN if_unchanged_since timestamptz;
COMMENT ON COLUMN {mirror}.outbox.if_matches IS 'Optimistic lock: fields by API name with the values that the lead must still have in Marketo; else the row ends as conflict.';
COMMENT ON COLUMN {mirror}.outbox.if_unchanged_since IS 'Optimistic lock: the row ends as conflict where somebody else changed the lead after this time.';
COMMENT ON COLUMN {mirror}.outbox.status IS 'pending, sending, retrying; then succeeded, failed, conflict, uncertain, cancelled or expired.';
GRANT INSERT (if_matches, if_unchanged_since) ON {mirror}.outbox TO {writer};

ALTER TABLE {mirror}.outbox
    DROP CONSTRAINT outbox_status_is_known,
    DROP CONSTRAINT outbox_finished_has_a_time,
    DROP CONSTRAINT outbox_failure_has_a_reason,
    ADD CONSTRAINT outbox_status_is_known CHECK (status IN
        ('pending', 'sending', 'retrying', 'succeeded', 'failed', 'conflict', 'uncertain', 'cancelled', 'expired')) NOT VALID,
    ADD CONSTRAINT outbox_finished_has_a_time CHECK ((finished_at IS NOT NULL)
        = (status IN ('succeeded', 'failed', 'conflict', 'uncertain', 'cancelled', 'expired'))) NOT VALID,
    ADD CONSTRAINT outbox_failure_has_a_reason CHECK (
        status NOT IN ('failed', 'conflict', 'uncertain') OR error_message IS NOT NULL) NOT VALID;
CREATE INDEX outbox_conflict_idx ON {mirror}.outbox (id) WHERE status = 'conflict';

ALTER TABLE {machinery}.outbox_attempt
    DROP CONSTRAINT outbox_attempt_outcome_is_known,
    ADD CONSTRAINT outbox_attempt_outcome_is_known CHECK (
        outcome IN ('succeeded', 'failed', 'retry', 'unknown', 'conflict')) NOT VALID;
COMMENT ON COLUMN {machinery}.outbox_attempt.outcome IS 'succeeded, failed, retry (nothing was executed), unknown, or conflict (nothing was sent: the lead was not as the row believed).';

CREATE TABLE {mirror}.outbox_conflict (
    outbox_id bigint NOT NULL REFERENCES {mirror}.outbox (id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    field text NOT NULL,
    lead_id bigint,
    believed jsonb,
    in_marketo jsonb,
    wanted jsonb,
    resolution text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (outbox_id, attempt, field),
    CONSTRAINT outbox_conflict_resolution_is_known CHECK (resolution IN ('failed', 'local_won', 'marketo_won'))
);
CREATE INDEX outbox_conflict_lead_id_idx ON {mirror}.outbox_conflict (lead_id);
COMMENT ON TABLE {mirror}.outbox_conflict IS 'Each field in which a lead was not as an outbox row with a lock believed, with both sides.';
COMMENT ON COLUMN {mirror}.outbox_conflict.outbox_id IS 'The row (outbox.id).';
COMMENT ON COLUMN {mirror}.outbox_conflict.attempt IS 'Number of the attempt that found it.';
COMMENT ON COLUMN {mirror}.outbox_conflict.field IS 'API name of the field; id where there is no such lead, updatedAt where a deletion met a change.';
COMMENT ON COLUMN {mirror}.outbox_conflict.lead_id IS 'The lead (lead.id); NULL where Marketo has none.';
COMMENT ON COLUMN {mirror}.outbox_conflict.believed IS 'What the row believed (if_matches); NULL for if_unchanged_since, which names no value.';
COMMENT ON COLUMN {mirror}.outbox_conflict.in_marketo IS 'What Marketo held just before the row would have been sent.';
COMMENT ON COLUMN {mirror}.outbox_conflict.wanted IS 'What the row would have written.';
COMMENT ON COLUMN {mirror}.outbox_conflict.resolution IS 'failed (nothing was sent), local_won (the row''s value was sent) or marketo_won (Marketo''s value stayed), as [conflicts] in the settings says.';
COMMENT ON COLUMN {mirror}.outbox_conflict.noted_at IS 'When it was found.';

CREATE TABLE {machinery}.foreign_change (
    lead_id bigint PRIMARY KEY,
    changed_at timestamptz NOT NULL
);
CREATE INDEX foreign_change_changed_at_idx ON {machinery}.foreign_change (changed_at);
COMMENT ON TABLE {machinery}.foreign_change IS 'When somebody other than the outbox last changed a lead, as Marketo''s log told.';
COMMENT ON COLUMN {machinery}.foreign_change.lead_id IS 'The lead.';
COMMENT ON COLUMN {machinery}.foreign_change.changed_at IS 'Time of the newest such change.';

CREATE FUNCTION {machinery}.outbox_check_lock() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {mirror}, {machinery}, pg_temp AS $$
DECLARE
    problem text;
BEGIN
    problem := CASE
        WHEN NEW.operation NOT IN ('create_or_update', 'update_only', 'delete') THEN
            'if_matches and if_unchanged_since go with create_or_update, update_only and delete alone'
        WHEN NEW.if_unchanged_since > now() + interval '5 minutes' THEN
            'if_unchanged_since: it lies in the future'
        WHEN NEW.if_matches IS NULL THEN NULL
        WHEN jsonb_typeof(NEW.if_matches) <> 'object' THEN
            'if_matches: it is a JSON ' || jsonb_typeof(NEW.if_matches) || ' and must be an object such as {{"leadStatus": "Open"}}'
        WHEN NEW.if_matches = '{{}}' THEN
            'if_matches: it names no field'
        ELSE (
            SELECT 'if_matches, field ' || e.key || ': ' || CASE
                WHEN jsonb_typeof(e.value) IN ('object', 'array') THEN
                    'its value is a JSON ' || jsonb_typeof(e.value) || ' and must be text, a number, true, false or null'
                WHEN f._removed_at IS NOT NULL THEN 'Marketo no longer offers this field'
                ELSE 'Marketo has no such field; SELECT name FROM lead_field lists them' END
            FROM jsonb_each(NEW.if_matches) AS e LEFT JOIN lead_field f ON f.name = e.key
            WHERE jsonb_typeof(e.value) IN ('object', 'array')
               OR (f.name IS NULL OR f._removed_at IS NOT NULL) AND EXISTS (SELECT FROM lead_field)
            ORDER BY e.key LIMIT 1)
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'outbox row % (%): %', NEW.id, NEW.operation, problem
            USING ERRCODE = 'check_violation', TABLE = 'outbox';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION {machinery}.outbox_check_lock() IS 'Refuses optimistic locks that could never be compared with a lead.';
REVOKE ALL ON FUNCTION {machinery}.outbox_check_lock() FROM PUBLIC;
CREATE TRIGGER outbox_check_lock BEFORE INSERT ON {mirror}.outbox FOR EACH ROW
    WHEN (NEW.if_matches IS NOT NULL OR NEW.if_unchanged_since IS NOT NULL)
    EXECUTE FUNCTION {machinery}.outbox_check_lock();
"""

# The new conditions are wider than the old ones: every row that there is holds to them.
VALIDATE = """
ALTER TABLE {mirror}.outbox VALIDATE CONSTRAINT outbox_status_is_known;
ALTER TABLE {mirror}.outbox VALIDATE CONSTRAINT outbox_finished_has_a_time;
ALTER TABLE {mirror}.outbox VALIDATE CONSTRAINT outbox_failure_has_a_reason;
ALTER TABLE {machinery}.outbox_attempt VALIDATE CONSTRAINT outbox_attempt_outcome_is_known;
"""


def upgrade() -> None:
    names = context.config.attributes["names"]
    for part in (SQL, VALIDATE):
        op.execute(part.format(**names))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
