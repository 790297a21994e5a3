-- name: fields_mirrored
-- The fields that have a column and that Marketo still offers, the id first, as one text.
SELECT jsonb_agg(jsonb_build_object('name', f.name, 'column_name', f.column_name,
    'column_type', replace(format_type(a.atttypid, NULL), 'timestamp with time zone', 'timestamptz'),
    'exportable', f.data_type <> 'formula', 'data_type', f.data_type, 'kept_as', f.kept_as, 'mark', f._hash_mark)
    ORDER BY f.name <> 'id', f.name)::text
FROM lead_field f
JOIN pg_attribute a ON a.attrelid = to_regclass('lead') AND a.attname = f.column_name AND NOT a.attisdropped
WHERE f._removed_at IS NULL AND f.kept_as IN ('plain', 'hashed');

-- name: fields_known
-- All fields that were ever seen, with the present type of their columns.
SELECT f.*, f._hash_mark AS mark, f._removed_at AS removed_at,
    replace(format_type(a.atttypid, NULL), 'timestamp with time zone', 'timestamptz') AS column_type
FROM lead_field f
LEFT JOIN pg_attribute a ON a.attrelid = to_regclass('lead') AND a.attname = f.column_name AND NOT a.attisdropped
ORDER BY f.name;

-- name: fields_outdated
-- Fields that are kept in another way than the settings say.
SELECT f.name, f.kept_as, f._hash_mark AS mark FROM lead_field f WHERE f.kept_as <> 'no_room';

-- name: field_columns
-- The columns of the table of leads.
SELECT a.attname AS name FROM pg_attribute a
WHERE a.attrelid = to_regclass('lead') AND a.attnum > 0 AND NOT a.attisdropped;

-- name: field_columns_ever
-- How many columns the table of leads has used up, those that were dropped included.
SELECT max(a.attnum) FROM pg_attribute a WHERE a.attrelid = to_regclass('lead');

-- name: field_log_added
-- Note the fields that are new, and those that are back.
INSERT INTO lead_field_change (field, what, new)
SELECT t.name, CASE WHEN f.name IS NULL THEN 'added' ELSE 'returned' END, t.data_type
FROM jsonb_to_recordset(CAST(:fields AS jsonb)) AS t (name text, data_type text)
LEFT JOIN lead_field f ON f.name = t.name
WHERE f.name IS NULL OR f._removed_at IS NOT NULL
ORDER BY t.name;

-- name: field_log_changed
-- Note what is different of fields that were there before.
INSERT INTO lead_field_change (field, what, old, new)
SELECT f.name, n.key, o.value, n.value
FROM jsonb_array_elements(CAST(:fields AS jsonb)) AS t (field)
JOIN lead_field f ON f.name = t.field ->> 'name'
CROSS JOIN LATERAL jsonb_each_text(t.field) AS n
JOIN LATERAL jsonb_each_text(to_jsonb(f)) AS o ON o.key = n.key
WHERE o.value IS DISTINCT FROM n.value AND NOT starts_with(n.key, '_')
ORDER BY f.name, n.key;

-- name: field_log
-- Note one change of one field.
INSERT INTO lead_field_change (field, what, old, new)
VALUES (:field, :what, CAST(:old AS text), CAST(:new AS text));

-- name: field_put
-- Write what Marketo says of its fields; only what differs.
INSERT INTO lead_field AS f (name, column_name, display_name, data_type, description, length, marketo_id, read_only, updateable,
    searchable, hidden, sensitive, custom, crm_managed, api_created, html_encoded_in_email, kept_as, _hash_mark)
SELECT name, column_name, display_name, data_type, description, length, marketo_id, read_only, updateable,
    searchable, hidden, sensitive, custom, crm_managed, api_created, html_encoded_in_email, coalesce(kept_as, 'plain'), _hash_mark
FROM jsonb_to_recordset(CAST(:fields AS jsonb)) AS t (name text, column_name text, display_name text, data_type text, description text,
    length integer, marketo_id bigint, read_only boolean, updateable boolean, searchable boolean, hidden boolean, sensitive boolean,
    custom boolean, crm_managed boolean, api_created boolean, html_encoded_in_email boolean, kept_as text, _hash_mark text)
ON CONFLICT (name) DO UPDATE SET
    column_name = EXCLUDED.column_name, display_name = EXCLUDED.display_name, data_type = EXCLUDED.data_type,
    description = EXCLUDED.description, length = EXCLUDED.length, marketo_id = EXCLUDED.marketo_id, read_only = EXCLUDED.read_only,
    updateable = EXCLUDED.updateable, searchable = EXCLUDED.searchable, hidden = EXCLUDED.hidden, sensitive = EXCLUDED.sensitive,
    custom = EXCLUDED.custom, crm_managed = EXCLUDED.crm_managed, api_created = EXCLUDED.api_created,
    html_encoded_in_email = EXCLUDED.html_encoded_in_email, kept_as = EXCLUDED.kept_as, _hash_mark = EXCLUDED._hash_mark,
    _removed_at = NULL
WHERE (f.column_name, f.display_name, f.data_type, f.description, f.length, f.marketo_id, f.read_only, f.updateable, f.searchable,
        f.hidden, f.sensitive, f.custom, f.crm_managed, f.api_created, f.html_encoded_in_email, f.kept_as, f._hash_mark, f._removed_at)
    IS DISTINCT FROM (EXCLUDED.column_name, EXCLUDED.display_name, EXCLUDED.data_type, EXCLUDED.description, EXCLUDED.length,
        EXCLUDED.marketo_id, EXCLUDED.read_only, EXCLUDED.updateable, EXCLUDED.searchable, EXCLUDED.hidden, EXCLUDED.sensitive,
        EXCLUDED.custom, EXCLUDED.crm_managed, EXCLUDED.api_created, EXCLUDED.html_encoded_in_email, EXCLUDED.kept_as,
        EXCLUDED._hash_mark, NULL::timestamptz);

-- name: field_keep
-- The settings hold for fields that Marketo no longer offers, too.
UPDATE lead_field SET column_name = :column, kept_as = :kept_as, _hash_mark = CAST(:mark AS text) WHERE name = :field;

-- name: field_gone
-- Fields that Marketo no longer offers; their columns stay.
WITH gone AS (
    UPDATE lead_field SET _removed_at = now(), hidden = hidden OR name = ANY(:hidden)
    WHERE _removed_at IS NULL AND NOT name = ANY(:names) RETURNING name, hidden
), noted AS (
    INSERT INTO lead_field_change (field, what, new)
    SELECT name, 'removed', CASE WHEN hidden THEN 'hidden in Marketo' END FROM gone ORDER BY name
)
SELECT name FROM gone ORDER BY name;

-- name: column_comment
-- What a column of the table of leads says of itself.
SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a
WHERE a.attrelid = to_regclass('lead') AND a.attname = :column AND NOT a.attisdropped;

-- name: staging_tables
-- What bulk files were copied into, and may be left of processes that ended; not those that hold ids alone.
SELECT c.relname AS name FROM pg_class c
WHERE c.relnamespace = to_regnamespace(:machinery) AND c.relkind = 'r' AND starts_with(c.relname, 'staging_')
    AND NOT starts_with(c.relname, 'staging_reconcile');

-- name: windows_refill
-- Load windows again: those that are done for some fields alone, those under way with the fields of now.
UPDATE backfill_window w
SET state = 'planned', export_id = NULL, exported_at = NULL, finished_at = NULL, job_fields = NULL,
    only_fields = CASE WHEN w.state = 'done' THEN CAST(:fields AS text[])
        WHEN w.only_fields IS NOT NULL THEN ARRAY(SELECT DISTINCT n FROM unnest(w.only_fields || CAST(:fields AS text[])) n ORDER BY n) END
WHERE w.state IN ('created', 'queued') OR cardinality(CAST(:fields AS text[])) > 0 AND w.filter = 'createdAt' AND (w.state = 'done' OR w.only_fields IS NOT NULL);

-- name: refill_facts
-- How many leads there are, how many windows were loaded or whether there are no exports, and how many leads are younger than all windows.
SELECT (SELECT count(*) FROM backfill_window WHERE filter = 'createdAt' AND (state = 'done' OR only_fields IS NOT NULL)) AS windows,
    (SELECT max(ends_at) FROM backfill_window WHERE filter = 'createdAt') AS last_end,
    EXISTS (SELECT FROM walk WHERE purpose = 'backfill') AS walked,
    (SELECT count(*) FROM lead WHERE _deleted_at IS NULL) AS leads,
    (SELECT count(*) FROM lead WHERE _deleted_at IS NULL
        AND (created_at > (SELECT max(ends_at) FROM backfill_window WHERE filter = 'createdAt') OR created_at IS NULL)) AS younger;

-- name: refill_by_pages
-- Mark all living leads, or those that are younger than all windows.
INSERT INTO dirty_lead (lead_id, reason)
SELECT id, 'fields' FROM lead
WHERE _deleted_at IS NULL AND (CAST(:all AS boolean) OR created_at IS NULL OR created_at > (SELECT max(ends_at) FROM backfill_window WHERE filter = 'createdAt'))
ORDER BY id
ON CONFLICT (lead_id) DO UPDATE SET mark = nextval('dirty_mark'), marked_at = now();

-- name: refill_by_windows
-- Plan windows for the leads that are younger than those there are.
INSERT INTO backfill_window (starts_at, ends_at, only_fields)
SELECT starts_at, ends_at, CAST(:fields AS text[])
FROM jsonb_to_recordset(CAST(:windows AS jsonb)) AS w (starts_at timestamptz, ends_at timestamptz)
ON CONFLICT DO NOTHING;

-- name: addresses_kept
-- How the mirror keeps addresses, and whether they are being read anew.
SELECT (SELECT f.kept_as || coalesce(f._hash_mark, '') FROM lead_field f WHERE f.name = 'email') AS kept,
    EXISTS (SELECT FROM cursor c WHERE c.feed = 'addresses') AS refilling;

-- name: addresses_refill
-- The addresses have to be read anew.
INSERT INTO cursor (feed, token, reached_at) VALUES ('addresses', '', clock_timestamp())
ON CONFLICT (feed) DO UPDATE SET reached_at = EXCLUDED.reached_at, updated_at = now();

-- name: addresses_refilled
-- The addresses were read anew where nothing is left to be read.
DELETE FROM cursor c WHERE c.feed = 'addresses' AND NOT EXISTS (SELECT FROM dirty_lead)
    AND NOT EXISTS (SELECT FROM backfill_window w WHERE w.state <> 'done' AND ('email' = ANY(w.only_fields) OR w.only_fields IS NULL));

-- name: address_keys
-- The addresses by which some unfinished rows, or all, name their leads.
SELECT k.outbox_id, substr(k.key, 7) AS address FROM outbox_key k
WHERE k.key LIKE 'email:%' AND (CAST(:ids AS bigint[]) IS NULL OR k.outbox_id = ANY(:ids));

-- name: address_names
-- Let rows hold the address of their lead in the form in which the mirror has it, too.
INSERT INTO outbox_key (key, outbox_id, busy)
SELECT 'email:' || t.address, t.outbox_id, q.state IN ('sending', 'closing')
FROM jsonb_to_recordset(CAST(:names AS jsonb)) AS t (outbox_id bigint, address text)
JOIN outbox_queue q ON q.outbox_id = t.outbox_id
ON CONFLICT DO NOTHING;

-- name: editable_make
-- Give lead_editable the columns that it lacks, or make it anew with the rights that it had.
SELECT lead_editable_make(CAST(:rights AS jsonb));
