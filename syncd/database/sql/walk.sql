-- name: walk_get
-- How a pass over all ids stands.
SELECT * FROM walk WHERE purpose = :purpose;

-- name: walks
-- All passes over all ids.
SELECT * FROM walk ORDER BY purpose;

-- name: walk_begin
-- Begin a pass, unless one is under way or waits for a person.
INSERT INTO walk AS w (purpose, state, reason) VALUES (:purpose, 'running', :reason)
ON CONFLICT (purpose) DO UPDATE SET state = 'running', way = NULL, reason = EXCLUDED.reason, token = NULL, seen = 0, refused = NULL,
    allowed = NULL, started_at = now(), changed_at = now()
WHERE w.state = 'done';

-- name: walk_way
-- How a pass is made is decided.
UPDATE walk SET way = :way, token = CAST(:token AS text), seen = 0, started_at = now(), changed_at = now() WHERE purpose = :purpose;

-- name: walk_move
-- A pass moves on.
UPDATE walk SET token = CAST(:token AS text), seen = seen + :seen, changed_at = now() WHERE purpose = :purpose;

-- name: walk_done
-- A pass is over.
UPDATE walk SET state = 'done', refused = NULL, allowed = NULL, changed_at = now() WHERE purpose = :purpose;

-- name: walk_refuse
-- The brake stops a pass.
UPDATE walk SET state = 'refused', refused = :refused, allowed = NULL, way = NULL, token = NULL, changed_at = now() WHERE purpose = :purpose;

-- name: walk_allow
-- A person lets a stopped pass go on, for as many leads as were told, once.
UPDATE walk SET state = 'running', allowed = refused, changed_at = now() WHERE purpose = :purpose AND state = 'refused';

-- name: walk_forget
-- There is another way again.
DELETE FROM walk WHERE purpose = :purpose;

-- name: missing_forget
-- A new search begins, or one is over.
DELETE FROM missing_lead;

-- name: missing_add
-- Leads that a page did not hold.
INSERT INTO missing_lead (lead_id) SELECT unnest(CAST(:ids AS bigint[])) ON CONFLICT DO NOTHING;

-- name: missing_from_staged
-- Living leads, not written since the search began, that are in no file of it.
INSERT INTO missing_lead (lead_id)
SELECT l.id FROM lead l
WHERE l._deleted_at IS NULL AND l._synced_at < (SELECT started_at FROM walk WHERE purpose = 'reconcile')
  AND NOT EXISTS (SELECT FROM staging_reconcile s WHERE s.id::bigint = l.id)
ON CONFLICT DO NOTHING;

-- name: unknown_from_staged
-- Leads that Marketo has and the mirror has not are read.
INSERT INTO dirty_lead (lead_id, reason)
SELECT DISTINCT s.id::bigint, 'reconcile' FROM staging_reconcile s
WHERE NOT EXISTS (SELECT FROM lead l WHERE l.id = s.id::bigint AND l._deleted_at IS NULL) ORDER BY 1
ON CONFLICT (lead_id) DO NOTHING;

-- name: missing_count
-- How many leads seem to be gone, of how many.
SELECT (SELECT count(*) FROM missing_lead) AS missing, (SELECT count(*) FROM lead WHERE _deleted_at IS NULL) AS living;

-- name: missing_mark
-- Leads that seem to be gone are read once more; who is not there then is retired.
INSERT INTO dirty_lead (lead_id, reason) SELECT lead_id, 'reconcile' FROM missing_lead ORDER BY lead_id
ON CONFLICT (lead_id) DO UPDATE SET mark = nextval('dirty_mark'), reason = EXCLUDED.reason, marked_at = now();
