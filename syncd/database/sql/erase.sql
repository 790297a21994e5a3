-- name: erase_close
-- Let those that write leads finish, and keep others out until the erasure is committed; in the order in which they lock.
LOCK TABLE dirty_lead, lead, list_membership, program_membership, campaign_membership IN SHARE ROW EXCLUSIVE MODE;

-- name: erase_whom
-- The leads that are meant, by id or address, and those that were merged into them.
WITH RECURSIVE whom AS (
    SELECT CAST(:lead_id AS bigint) AS id WHERE CAST(:lead_id AS bigint) IS NOT NULL
    UNION
    SELECT l.id FROM lead l WHERE lower(stripped(l.email)) = CAST(:email AS text)
    UNION
    SELECT l.id FROM lead l JOIN whom w ON l._merged_into_id = w.id
)
SELECT id FROM whom ORDER BY id;

-- name: erase_addresses
-- Every address under which these leads are known here.
SELECT DISTINCT lower(stripped(email)) AS email
FROM (
    SELECT email FROM lead WHERE id = ANY(:ids)
    UNION ALL
    SELECT coalesce(payload ->> 'email', payload #>> '{leadFormFields,email}') FROM outbox WHERE lead_id = ANY(:ids)
) AS known
WHERE stripped(email) <> '';

-- name: erase_outbox_rows
-- The outbox rows that touch these leads or hold one of the addresses anywhere, and whether they are still open.
SELECT o.id, o.finished_at IS NULL OR EXISTS (SELECT FROM outbox_queue q WHERE q.outbox_id = o.id) AS open
FROM outbox o
WHERE o.lead_id = ANY(:ids) OR o.payload ->> 'id' = ANY(CAST(:ids AS text[]))
   OR EXISTS (SELECT FROM outbox_key k WHERE k.outbox_id = o.id AND k.key = ANY(:keys))
   OR EXISTS (SELECT FROM jsonb_path_query(o.payload, '$.leadIds[*]') AS loser WHERE loser #>> '{}' = ANY(CAST(:ids AS text[])))
   OR EXISTS (SELECT FROM jsonb_path_query(jsonb_build_array(o.payload, o.options, o.if_matches, o.result), 'strict $.**') AS part
        WHERE jsonb_typeof(part) = 'string' AND lower(stripped(part #>> '{}')) = ANY(:emails))
ORDER BY o.id;

-- name: erase_outbox
-- Forget outbox rows with all that hangs on them: attempts and conflicts.
DELETE FROM outbox WHERE id = ANY(:rows);

-- name: erase_tombstone
-- Note that it happened, and nothing else.
INSERT INTO erased_lead (lead_id) SELECT unnest(CAST(:ids AS bigint[])) ON CONFLICT DO NOTHING;

-- name: erase_places
-- Every table that holds something by lead: by lead_id, or by an id as text, as bulk files are staged.
SELECT c.oid::regclass::text AS place, a.attname AS by, format_type(a.atttypid, NULL) = 'text' AS staged
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
WHERE c.relkind = 'r' AND n.nspname = ANY(CAST(:schemas AS text[])) AND c.relname NOT IN ('outbox', 'erased_lead')
  AND (a.attname = 'lead_id' AND a.atttypid = CAST('bigint' AS regtype)
    OR a.attname = 'id' AND (c.oid = to_regclass('lead')
        OR n.nspname = CAST(:machinery AS text) AND a.atttypid = CAST('text' AS regtype) AND EXISTS (
            SELECT FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attname = 'c0')))
ORDER BY c.oid <> to_regclass('dirty_lead'), c.oid <> to_regclass('lead'), c.relname;
