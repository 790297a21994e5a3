"""Erasing a person: a tombstone of a number alone, and doors that stay shut behind it.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0011"
down_revision = "0010"

SQL = """
CREATE TABLE {machinery}.erased_lead (
    lead_id bigint PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {machinery}.erased_lead IS 'Leads whose data was erased for good: only that it happened. No feed brings them back.';
COMMENT ON COLUMN {machinery}.erased_lead.lead_id IS 'Marketo''s id of the lead.';
COMMENT ON COLUMN {machinery}.erased_lead.erased_at IS 'When.';

CREATE FUNCTION {machinery}.erased_stay_out() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {mirror}, {machinery}, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_lead e WHERE e.lead_id = NEW.lead_id) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION {machinery}.erased_stay_out() IS 'Keeps what concerns an erased lead out of a table.';
REVOKE ALL ON FUNCTION {machinery}.erased_stay_out() FROM PUBLIC;

CREATE FUNCTION {machinery}.erased_lead_stays_out() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {mirror}, {machinery}, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_lead e WHERE e.lead_id = NEW.id) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION {machinery}.erased_lead_stays_out() IS 'Keeps erased leads out of the table of leads.';
REVOKE ALL ON FUNCTION {machinery}.erased_lead_stays_out() FROM PUBLIC;

CREATE TRIGGER erased_stay_out BEFORE INSERT ON {mirror}.lead FOR EACH ROW EXECUTE FUNCTION {machinery}.erased_lead_stays_out();
"""

DOOR = "CREATE TRIGGER erased_stay_out BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {machinery}.erased_stay_out();"

TABLES = (
    *("{mirror}.list_membership", "{mirror}.program_membership", "{mirror}.campaign_membership"),
    *("{machinery}.swept_member", "{machinery}.dirty_lead", "{machinery}.dirty_member", "{machinery}.dirty_list_member"),
    *("{machinery}.ended_member", "{machinery}.campaign_read", "{machinery}.missing_lead", "{machinery}.foreign_change"),
)  # fmt: skip


def upgrade() -> None:
    names = context.config.attributes["names"]
    op.execute(SQL.format(**names))
    for table in TABLES:
        op.execute(DOOR.format(table=table.format(**names), **names))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
