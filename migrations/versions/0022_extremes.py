"""Outbox rows that no process could read are refused where they are written.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0022"
down_revision = "0021"

# PostgreSQL holds numbers of 131,072 digits and nests as deep as its stack goes; Marketo's own numbers are doubles. Neither
# fits into 200 bytes, so that most rows pass without a look inside.
CHECK = """
CREATE FUNCTION {machinery}.outbox_check_extremes() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    problem text;
BEGIN
    SELECT d.what || e.key || ': ' || CASE
        WHEN jsonb_path_exists(e.value, 'strict $.**{{100}}') THEN 'its value is nested more than 100 deep'
        ELSE 'it holds a number that is larger than any of Marketo''s' END
    INTO problem
    FROM (VALUES (1, 'field ', NEW.payload), (2, 'option ', NEW.options), (3, 'if_matches, field ', NEW.if_matches)) AS d (place, what, document)
    CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(d.document) WHEN 'object' THEN d.document ELSE '{{}}' END) AS e
    WHERE octet_length(e.value::text) > 200 AND (
        jsonb_path_exists(e.value, 'strict $.**{{100}}')
        OR jsonb_path_exists(e.value,
            'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))'))
    ORDER BY d.place, e.key LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'outbox row % (%): %', NEW.id, NEW.operation, problem
            USING ERRCODE = 'check_violation', TABLE = 'outbox';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION {machinery}.outbox_check_extremes() IS 'Refuses numbers and nesting that no process could read.';
REVOKE ALL ON FUNCTION {machinery}.outbox_check_extremes() FROM PUBLIC;
CREATE TRIGGER outbox_check_extremes BEFORE INSERT ON {mirror}.outbox FOR EACH ROW
    WHEN (octet_length(NEW.payload::text) > 200 OR octet_length(NEW.options::text) > 200 OR octet_length(NEW.if_matches::text) > 200)
    EXECUTE FUNCTION {machinery}.outbox_check_extremes();
"""


def upgrade() -> None:
    op.execute(CHECK.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
