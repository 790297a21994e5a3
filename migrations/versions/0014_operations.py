"""Every operation of the outbox: the catalogue, and checks that are made from it.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0014"
down_revision = "0013"

CATALOGUE = """
CREATE TABLE {machinery}.operation (
    name text PRIMARY KEY,
    place integer NOT NULL,
    payload text NOT NULL,
    records integer NOT NULL,
    id_in_payload boolean NOT NULL,
    lookup text[],
    partition text NOT NULL,
    loose boolean NOT NULL,
    options jsonb NOT NULL,
    required text[] NOT NULL,
    CONSTRAINT operation_payload_is_known CHECK (payload IN ('record', 'lead', 'merge', 'form', 'field', 'field_change')),
    CONSTRAINT operation_partition_is_known CHECK (partition IN ('no', 'may', 'must'))
);
COMMENT ON TABLE {machinery}.operation IS 'What rows of the outbox may ask for: a copy of the catalogue of this version, written by syncd migrate.';
COMMENT ON COLUMN {machinery}.operation.name IS 'As in outbox.operation.';
COMMENT ON COLUMN {machinery}.operation.place IS 'Place in lists for people.';
COMMENT ON COLUMN {machinery}.operation.payload IS 'What the payload is: record, lead (what names one), merge, form, field or field_change.';
COMMENT ON COLUMN {machinery}.operation.records IS 'Rows that one call can carry.';
COMMENT ON COLUMN {machinery}.operation.id_in_payload IS 'Whether the payload may name its lead by id.';
COMMENT ON COLUMN {machinery}.operation.lookup IS 'What lookup_field may be besides searchable fields; NULL where there is none.';
COMMENT ON COLUMN {machinery}.operation.partition IS 'Whether partition_name is given: no, may or must.';
COMMENT ON COLUMN {machinery}.operation.loose IS 'Whether a payload that names a lead may say more, which is left aside.';
COMMENT ON COLUMN {machinery}.operation.options IS 'Each option and the kind of its value.';
COMMENT ON COLUMN {machinery}.operation.required IS 'Options that must be given.';

COMMENT ON COLUMN {mirror}.outbox.operation IS 'What to do; see the catalogue in docs/outbox.md.';
COMMENT ON COLUMN {mirror}.outbox.payload IS 'The record, with Marketo''s API names (null clears a field, fields not named stay), or what names the lead.';
COMMENT ON COLUMN {mirror}.outbox.lookup_field IS 'Field that finds the lead; by default id where the payload has one, else email.';
COMMENT ON COLUMN {mirror}.outbox.partition_name IS 'Lead partition of a new lead, by default Marketo''s default one; with update_partition, where the lead goes.';
COMMENT ON COLUMN {mirror}.outbox.options IS 'What else the call takes, under Marketo''s own names, such as listId or programName.';
COMMENT ON COLUMN {mirror}.outbox.on_unknown_outcome IS 'For operations that are not repeated after an unknown outcome: hold (end as uncertain) or resend.';
COMMENT ON COLUMN {machinery}.outbox_key.key IS 'lead:42, email:a@b.com, field:NAME:value, or schema:NAME for a field that is made or changed.';

CREATE FUNCTION {machinery}.outbox_lookup(lookup_field text, payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(lookup_field, CASE WHEN payload ? 'id' THEN 'id' ELSE 'email' END);
COMMENT ON FUNCTION {machinery}.outbox_lookup(text, jsonb) IS 'The field by which a row names its lead.';
REVOKE ALL ON FUNCTION {machinery}.outbox_lookup(text, jsonb) FROM PUBLIC;
"""

CHECK = """
CREATE FUNCTION {machinery}.outbox_option_problem(options jsonb, known jsonb, required text[]) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT problem FROM (
        SELECT 0 AS place, 'options: they are a JSON ' || jsonb_typeof(options) || ' and must be an object' AS problem
        WHERE jsonb_typeof(options) <> 'object'
        UNION ALL
        SELECT 1, 'options: there are none for this operation, so it must be left out' WHERE known = '{{}}' AND options <> '{{}}'
        UNION ALL
        (SELECT 2, 'option ' || o.key || ': ' || CASE
            WHEN NOT known ? o.key THEN coalesce(
                (SELECT 'there is none of this name; did you mean ' || k || '?' FROM jsonb_object_keys(known) k
                    WHERE lower(k) = lower(replace(o.key, '_', '')) LIMIT 1),
                'there is none of this name; this operation takes ' || (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(known) k))
            WHEN known ->> o.key = 'id' THEN 'it must be a whole number above 0'
            WHEN known ->> o.key = 'flag' THEN 'it must be true or false'
            WHEN known ->> o.key = 'tokens' THEN 'it must be a list such as [{{"name": "{{{{my.token}}}}", "value": "text"}}]'
            ELSE 'it must be text that is not blank, of 255 characters at most' END
        FROM jsonb_each(CASE jsonb_typeof(options) WHEN 'object' THEN options ELSE '{{}}' END) AS o
        WHERE NOT known ? o.key OR NOT CASE known ->> o.key
            WHEN 'id' THEN coalesce(o.value #>> '{{}}' ~ '^[1-9][0-9]{{0,17}}$', false)
            WHEN 'flag' THEN jsonb_typeof(o.value) = 'boolean'
            WHEN 'tokens' THEN jsonb_typeof(o.value) = 'array' AND NOT EXISTS (
                SELECT FROM jsonb_array_elements(CASE jsonb_typeof(o.value) WHEN 'array' THEN o.value ELSE '[]' END) t
                WHERE jsonb_typeof(t -> 'name') IS DISTINCT FROM 'string' OR jsonb_typeof(t -> 'value') IS DISTINCT FROM 'string')
            ELSE jsonb_typeof(o.value) = 'string' AND btrim(o.value #>> '{{}}') <> '' AND length(o.value #>> '{{}}') <= 255 END
        ORDER BY o.key LIMIT 1)
        UNION ALL
        (SELECT 3, 'option ' || r || ': it is missing, and the operation needs it' FROM unnest(required) r WHERE NOT options ? r LIMIT 1)
    ) AS found ORDER BY place LIMIT 1
$$;
COMMENT ON FUNCTION {machinery}.outbox_option_problem(jsonb, jsonb, text[]) IS 'What is wrong with the options of an outbox row; NULL if nothing is.';
REVOKE ALL ON FUNCTION {machinery}.outbox_option_problem(jsonb, jsonb, text[]) FROM PUBLIC;

CREATE FUNCTION {machinery}.outbox_payload_problem(kind text, payload jsonb, lookup text, loose boolean) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = {mirror}, {machinery}, pg_temp AS $$
DECLARE
    problem text;
    losers jsonb := payload -> 'leadIds';
BEGIN
    IF kind IN ('lead', 'merge') AND NOT loose THEN
        SELECT 'field ' || k || ': this operation takes the field that names its lead and no other'
            || CASE WHEN kind = 'merge' THEN ', besides leadIds' ELSE '' END INTO problem
        FROM jsonb_object_keys(payload) k WHERE k <> lookup AND NOT (kind = 'merge' AND k = 'leadIds') ORDER BY k LIMIT 1;
    END IF;
    IF problem IS NOT NULL THEN
        RETURN problem;
    ELSIF kind = 'merge' THEN
        RETURN CASE
            WHEN jsonb_typeof(losers) IS DISTINCT FROM 'array' OR jsonb_array_length(losers) = 0 THEN
                'field leadIds: it must be a list of the ids of the leads that are merged away, such as [7, 8]'
            WHEN EXISTS (SELECT FROM jsonb_array_elements(losers) e WHERE NOT coalesce(e #>> '{{}}' ~ '^[1-9][0-9]{{0,17}}$', false)) THEN
                'field leadIds: each must be a whole number above 0'
            WHEN jsonb_array_length(losers) > 25 THEN
                'field leadIds: there are ' || jsonb_array_length(losers) || ', and Marketo merges 25 at once'
            WHEN (SELECT count(DISTINCT e #>> '{{}}') FROM jsonb_array_elements(losers) e) < jsonb_array_length(losers) THEN
                'field leadIds: a lead is in it twice'
            WHEN EXISTS (SELECT FROM jsonb_array_elements(losers) e WHERE e #>> '{{}}' = payload ->> 'id') THEN
                'field leadIds: a lead cannot be merged with itself' END;
    ELSIF kind = 'form' THEN
        RETURN CASE
            WHEN jsonb_typeof(payload -> 'leadFormFields') IS DISTINCT FROM 'object' THEN
                'field leadFormFields: it must be an object with what was filled in, such as {{"email": "a@b.com"}}'
            WHEN btrim(coalesce(payload #>> '{{leadFormFields,email}}', '')) = '' THEN
                'field leadFormFields: it must hold an email, and that is missing or empty'
            WHEN payload ? 'visitorData' AND jsonb_typeof(payload -> 'visitorData') <> 'object' THEN
                'field visitorData: it must be an object'
            WHEN payload ? 'cookie' AND jsonb_typeof(payload -> 'cookie') <> 'string' THEN
                'field cookie: it must be text'
            ELSE (SELECT 'field ' || k || ': a form takes leadFormFields, visitorData and cookie'
                    FROM jsonb_object_keys(payload) k WHERE k NOT IN ('leadFormFields', 'visitorData', 'cookie') ORDER BY k LIMIT 1)
            END;
    ELSIF kind IN ('field', 'field_change') THEN
        RETURN CASE
            WHEN NOT coalesce(payload ->> 'name' ~ '^[A-Za-z][A-Za-z0-9_]*$', false) THEN
                'field name: it must be the API name of the field: a letter, then letters, digits and underscores'
            WHEN kind = 'field' AND btrim(coalesce(payload ->> 'displayName', '')) = '' THEN
                'field displayName: it is missing or empty'
            WHEN kind = 'field' AND NOT coalesce(payload ->> 'dataType', '') = ANY(ARRAY[{types}]) THEN
                'field dataType: it must be one of {type_words}'
            WHEN kind = 'field_change' AND payload - 'name' = '{{}}' THEN
                'field name: besides it, the payload must say what is changed'
            ELSE (SELECT 'field ' || e.key || ': ' || CASE
                    WHEN e.key IN ('isHidden', 'isHtmlEncodingInEmail', 'isSensitive') THEN 'it must be true or false'
                    WHEN e.key IN ('name', 'displayName', 'description', 'dataType') THEN 'it must be text'
                    ELSE 'a field of leads has no such property' END
                FROM jsonb_each(payload) e
                WHERE NOT CASE
                    WHEN e.key IN ('isHidden', 'isHtmlEncodingInEmail', 'isSensitive') THEN jsonb_typeof(e.value) = 'boolean'
                    WHEN e.key = 'dataType' THEN kind = 'field'
                    WHEN e.key = 'description' THEN jsonb_typeof(e.value) IN ('string', 'null')
                    ELSE e.key IN ('name', 'displayName') AND jsonb_typeof(e.value) = 'string' END
                ORDER BY e.key LIMIT 1)
            END;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION {machinery}.outbox_payload_problem(text, jsonb, text, boolean) IS 'What is wrong with a payload that is no record of a lead; NULL if nothing is.';
REVOKE ALL ON FUNCTION {machinery}.outbox_payload_problem(text, jsonb, text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION {machinery}.outbox_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {mirror}, {machinery}, pg_temp AS $$
DECLARE
    bad record;
    schema_known boolean := EXISTS (SELECT FROM lead_field);
BEGIN
    SELECT n.id, n.operation, coalesce(shape.problem, field.problem) AS problem INTO bad
    FROM new_rows n
    LEFT JOIN operation p ON p.name = n.operation
    CROSS JOIN LATERAL (SELECT jsonb_typeof(n.payload) = 'object' AS is_object, outbox_lookup(n.lookup_field, n.payload) AS lookup) AS r
    CROSS JOIN LATERAL (SELECT p.payload IN ('record', 'lead', 'merge') AS names_lead) AS o
    CROSS JOIN LATERAL (SELECT CASE
        WHEN p.name IS NULL THEN 'the operation is not known; it must be '
            || (SELECT string_agg(CASE WHEN k.place = m.place THEN 'or ' ELSE '' END || k.name, ', ' ORDER BY k.place)
                FROM operation k, (SELECT max(place) AS place FROM operation) AS m)
        WHEN NOT r.is_object THEN
            'the payload is a JSON ' || jsonb_typeof(n.payload) || ' and must be an object such as {{"email": "a@b.com"}}'
        WHEN length(n.lookup_field) > 255 THEN
            'lookup_field: it has over 255 characters'
        WHEN length(n.partition_name) > 255 THEN
            'partition_name: it has over 255 characters'
        WHEN octet_length(n.payload::text) > 900000 THEN
            'the payload has over 900,000 bytes; Marketo takes 1 MB in a call'
        WHEN octet_length(n.options::text) > 100000 THEN
            'options: they have over 100,000 bytes; Marketo takes 1 MB in a call'
        WHEN n.lookup_field IS NOT NULL AND p.lookup IS NULL THEN
            'lookup_field: this operation takes none'
        WHEN o.names_lead AND n.payload ? 'id' AND NOT p.id_in_payload THEN
            'field id: Marketo does not take it with this operation; name the lead by another field'
        WHEN o.names_lead AND n.payload ? 'id' AND NOT coalesce(n.payload ->> 'id' ~ '^[1-9][0-9]{{0,17}}$', false) THEN
            'field id: it must be a whole number above 0'
        WHEN o.names_lead AND r.lookup = 'id' AND NOT p.id_in_payload THEN
            'lookup_field id: Marketo does not take it with this operation'
        WHEN o.names_lead AND coalesce(btrim(n.payload ->> r.lookup), '') = '' THEN
            'field ' || r.lookup || ': the payload must name the lead by it, and it is missing or empty'
        WHEN n.partition_name IS NOT NULL AND p.partition = 'no' THEN
            'partition_name: Marketo takes none with this operation'
        WHEN p.partition = 'must' AND btrim(coalesce(n.partition_name, '')) = '' THEN
            'partition_name: it is missing, and the operation needs it'
        WHEN schema_known AND o.names_lead AND r.lookup NOT IN ('id', 'email') AND r.lookup <> ALL (p.lookup) AND NOT EXISTS (
            SELECT FROM lead_field f WHERE f.name = r.lookup AND f.searchable AND f._removed_at IS NULL) THEN
            'lookup_field ' || r.lookup || ': leads cannot be looked up by it; see lead_field.searchable'
        WHEN n.options <> '{{}}' OR p.required <> '{{}}' THEN coalesce(outbox_option_problem(n.options, p.options, p.required),
            CASE WHEN p.payload <> 'record' THEN outbox_payload_problem(p.payload, n.payload, r.lookup, p.loose) END)
        WHEN p.payload <> 'record' THEN outbox_payload_problem(p.payload, n.payload, r.lookup, p.loose)
    END AS problem) AS shape
    LEFT JOIN LATERAL (
        SELECT 'field ' || v.name || ': ' || CASE
            WHEN v.kind IN ('object', 'array') THEN 'its value is a JSON ' || v.kind || ' and must be text, a number, true, false or null'
            WHEN v.kind = 'null' AND p.payload = 'form' THEN 'a form cannot empty it; leave it out'
            WHEN f.name IS NULL THEN coalesce(
                (SELECT 'Marketo has no such field; did you mean ' || o.name || '?' FROM lead_field o
                    WHERE lower(o.name) = lower(v.name) OR o.column_name = lower(v.name) ORDER BY o.name LIMIT 1),
                'Marketo has no such field; SELECT name FROM lead_field lists them')
            WHEN f._removed_at IS NOT NULL THEN 'Marketo no longer offers this field'
            WHEN f.read_only OR NOT f.updateable THEN 'it is read-only in Marketo'
            ELSE 'its value has ' || length(v.value) || ' characters and Marketo takes ' || f.length
        END AS problem
        FROM (SELECT e.key AS name, e.value #>> '{{}}' AS value, jsonb_typeof(e.value) AS kind
              FROM jsonb_each(CASE WHEN NOT r.is_object THEN '{{}}' WHEN p.payload = 'record' THEN n.payload
                WHEN p.payload = 'form' AND jsonb_typeof(n.payload -> 'leadFormFields') = 'object' THEN n.payload -> 'leadFormFields'
                ELSE '{{}}' END) AS e) AS v
        LEFT JOIN lead_field f ON f.name = v.name
        WHERE v.kind IN ('object', 'array') OR v.kind = 'null' AND p.payload = 'form'
           OR schema_known AND v.name <> 'id' AND v.name <> ALL (coalesce(p.lookup, '{{}}'))
                AND (f.name IS NULL OR f._removed_at IS NOT NULL
                    OR f.read_only OR NOT f.updateable OR (v.kind = 'string' AND length(v.value) > f.length))
                AND NOT (p.payload = 'form' AND f.name IS NULL AND EXISTS (SELECT FROM program_member_field m WHERE m.name = v.name))
        ORDER BY v.name LIMIT 1
    ) AS field ON shape.problem IS NULL
    WHERE shape.problem IS NOT NULL OR field.problem IS NOT NULL
    ORDER BY n.id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'outbox row % (%): %', bad.id, bad.operation, bad.problem
            USING ERRCODE = 'check_violation', TABLE = 'outbox';
    END IF;
    INSERT INTO outbox_queue (outbox_id) SELECT id FROM new_rows;
    PERFORM pg_notify('{channel}', '');
    RETURN NULL;
END $$;
"""

TYPES = (
    "boolean", "currency", "date", "datetime", "email", "float", "integer", "percent", "phone", "score", "string", "url",
)  # fmt: skip


def upgrade() -> None:
    words = {"types": ", ".join(f"'{t}'" for t in TYPES), "type_words": ", ".join(TYPES)}
    for part in (CATALOGUE, CHECK):
        op.execute(part.format(**context.config.attributes["names"], **words))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
