"""A view of leads that can be written: what is changed in it becomes rows of the outbox.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0018"
down_revision = "0017"

# The rights of whoever writes are enough for the row of the outbox, so the function takes no others.
WRITE = """
CREATE FUNCTION {machinery}.lead_editable_write() RETURNS trigger
LANGUAGE plpgsql SET search_path = {mirror}, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    said text := lower(coalesce(nullif(current_setting('syncd.lead_editable_lock', true), ''), 'off'));
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    changes jsonb;
    believed jsonb;
    problem text;
BEGIN
    problem := CASE
        WHEN said NOT IN ('on', 'off') THEN 'syncd.lead_editable_lock is ' || said || ' and must be on or off'
        WHEN TG_OP = 'INSERT' AND after -> 'id' <> 'null' THEN 'id: Marketo gives a new lead its id; leave it out'
        WHEN TG_OP = 'UPDATE' AND after -> 'id' IS DISTINCT FROM before -> 'id' THEN 'id: the id of a lead cannot be changed'
    END;
    IF problem IS NULL AND TG_OP <> 'DELETE' THEN
        SELECT jsonb_object_agg(f.name, v.value) FILTER (WHERE f.name IS NOT NULL),
            'column ' || min(e.key) FILTER (WHERE f.name IS NULL) || ': no field of Marketo belongs to it'
        INTO changes, problem
        FROM jsonb_each(after) AS e
        LEFT JOIN lead_field f ON f.column_name = e.key
        CROSS JOIN LATERAL (SELECT CASE WHEN f.data_type = 'datetime'
            THEN to_jsonb(regexp_replace(e.value #>> '{{}}', '\\+00:00$', 'Z')) ELSE e.value END AS value) AS v
        WHERE e.key <> 'id' AND CASE TG_OP WHEN 'INSERT' THEN e.value <> 'null' ELSE e.value IS DISTINCT FROM before -> e.key END;
        IF problem IS NULL AND TG_OP = 'UPDATE' AND changes IS NULL THEN
            RETURN NEW;
        END IF;
    END IF;
    IF problem IS NULL AND TG_OP <> 'INSERT' AND said = 'on' THEN
        SELECT jsonb_object_agg(f.name, coalesce(l._unparsed -> f.name, v.value)) FILTER (WHERE f.kept_as = 'plain'),
            'column ' || min(f.column_name) FILTER (WHERE f.kept_as <> 'plain' AND TG_OP = 'UPDATE')
                || ': the mirror does not hold its value, so it cannot be compared; SET syncd.lead_editable_lock = off'
        INTO believed, problem
        FROM lead l
        CROSS JOIN lead_field f
        CROSS JOIN LATERAL (SELECT CASE WHEN f.data_type = 'datetime'
            THEN to_jsonb(regexp_replace(before ->> f.column_name, '\\+00:00$', 'Z')) ELSE before -> f.column_name END AS value) AS v
        WHERE l.id = OLD.id AND CASE TG_OP WHEN 'UPDATE' THEN changes ? f.name
            ELSE f.updateable AND NOT f.read_only AND f._removed_at IS NULL
                AND (before -> f.column_name <> 'null' OR l._unparsed ? f.name) END;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'lead_editable: %', problem USING ERRCODE = 'check_violation', TABLE = 'lead_editable';
    END IF;
    INSERT INTO outbox (operation, payload, if_matches) VALUES (
        CASE TG_OP WHEN 'INSERT' THEN 'create_only' WHEN 'UPDATE' THEN 'update_only' ELSE 'delete' END,
        CASE WHEN TG_OP = 'INSERT' THEN '{{}}' ELSE jsonb_build_object('id', before -> 'id') END || coalesce(changes, '{{}}'),
        believed);
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION {machinery}.lead_editable_write() IS 'Makes a row of the outbox of what is written to lead_editable.';
REVOKE ALL ON FUNCTION {machinery}.lead_editable_write() FROM PUBLIC;
"""

MAKE = """
CREATE FUNCTION {machinery}.lead_editable_make(rights jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {mirror}, {machinery}, pg_temp AS $$
DECLARE
    there boolean := to_regclass('lead_editable') IS NOT NULL;
    shown text[];
    missing text[];
    item record;
BEGIN
    SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{{}}') INTO shown
    FROM pg_attribute a WHERE a.attrelid = to_regclass('lead_editable') AND a.attnum > 0;
    SELECT array_agg(a.attname::text ORDER BY a.attnum) INTO missing
    FROM pg_attribute a
    WHERE a.attrelid = 'lead'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (shown)
        AND (a.attname IN ('id', 'email', 'created_at', 'updated_at') OR EXISTS (SELECT FROM lead_field f WHERE f.column_name = a.attname));
    IF missing IS NOT NULL THEN
        EXECUTE (SELECT 'CREATE OR REPLACE VIEW lead_editable AS SELECT ' || string_agg(format('%I', name), ', ' ORDER BY place)
            || ' FROM lead WHERE _deleted_at IS NULL' FROM unnest(shown || missing) WITH ORDINALITY AS t (name, place));
    END IF;
    IF NOT there THEN
        COMMENT ON VIEW lead_editable IS 'Living leads, to be written too: INSERT, UPDATE and DELETE become rows of outbox with what was changed, and the mirror shows it once Marketo has it.';
        CREATE TRIGGER lead_editable_write INSTEAD OF INSERT OR UPDATE OR DELETE ON lead_editable
            FOR EACH ROW EXECUTE FUNCTION lead_editable_write();
        IF rights IS NULL THEN
            GRANT INSERT, UPDATE, DELETE ON lead_editable TO {writer};
        ELSE
            REVOKE ALL ON lead_editable FROM {reader}, {writer};
            FOR item IN SELECT * FROM jsonb_to_recordset(rights) AS t (grantee text, privilege text, of_column text, again boolean) LOOP
                EXECUTE format('GRANT %s %s ON lead_editable TO %s %s', item.privilege,
                    CASE WHEN item.of_column IS NOT NULL THEN format('(%I)', item.of_column) ELSE '' END, item.grantee,
                    CASE WHEN item.again THEN 'WITH GRANT OPTION' ELSE '' END);
            END LOOP;
        END IF;
    END IF;
    FOR item IN
        SELECT v.attname AS name, col_description(l.attrelid, l.attnum) AS words
        FROM pg_attribute v JOIN pg_attribute l ON l.attrelid = 'lead'::regclass AND l.attname = v.attname
        WHERE v.attrelid = 'lead_editable'::regclass AND v.attnum > 0
            AND col_description(v.attrelid, v.attnum) IS DISTINCT FROM col_description(l.attrelid, l.attnum)
    LOOP
        EXECUTE format('COMMENT ON COLUMN lead_editable.%I IS %L', item.name, item.words);
    END LOOP;
END $$;
COMMENT ON FUNCTION {machinery}.lead_editable_make(jsonb) IS 'Makes the view lead_editable, or adds to it the columns of new fields; rights: as lead_editable_drop told them.';
REVOKE ALL ON FUNCTION {machinery}.lead_editable_make(jsonb) FROM PUBLIC;

CREATE FUNCTION {machinery}.lead_editable_drop() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {mirror}, {machinery}, pg_temp AS $$
DECLARE
    rights jsonb;
BEGIN
    IF to_regclass('lead_editable') IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(jsonb_agg(jsonb_build_object('grantee', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
        'privilege', g.privilege_type, 'of_column', g.of_column, 'again', g.is_grantable)), '[]') INTO rights
    FROM (
        SELECT r.grantee, r.privilege_type, NULL AS of_column, r.is_grantable
        FROM pg_class c CROSS JOIN aclexplode(c.relacl) AS r
        WHERE c.oid = 'lead_editable'::regclass AND r.grantee <> c.relowner
        UNION ALL
        SELECT r.grantee, r.privilege_type, a.attname, r.is_grantable
        FROM pg_attribute a CROSS JOIN aclexplode(a.attacl) AS r
        WHERE a.attrelid = 'lead_editable'::regclass AND a.attnum > 0
    ) AS g;
    DROP VIEW lead_editable;
    RETURN rights;
END $$;
COMMENT ON FUNCTION {machinery}.lead_editable_drop() IS 'Drops the view lead_editable, so that a column can change its type; tells who had which rights to it.';
REVOKE ALL ON FUNCTION {machinery}.lead_editable_drop() FROM PUBLIC;
"""


def upgrade() -> None:
    for part in (WRITE, MAKE, "SELECT {machinery}.lead_editable_make()"):
        op.execute(part.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
