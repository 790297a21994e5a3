-- name: lead_retire
-- Retire leads and keep their rows; a lead that was never mirrored gets one, so that no older file brings it back.
INSERT INTO lead AS l (id, _deleted_at, _merged_into_id)
SELECT id, now(), max(merged_into) FROM jsonb_to_recordset(CAST(:leads AS jsonb)) AS t (id bigint, merged_into bigint)
GROUP BY id ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    _deleted_at = coalesce(l._deleted_at, now()), _synced_at = now(), _merged_into_id = coalesce(EXCLUDED._merged_into_id, l._merged_into_id)
WHERE l._deleted_at IS NULL OR l._merged_into_id IS DISTINCT FROM coalesce(EXCLUDED._merged_into_id, l._merged_into_id);

-- name: lead_rechain
-- Losers of losers point to the last winner.
UPDATE lead l SET _merged_into_id = w._merged_into_id, _synced_at = now()
FROM lead w
WHERE l._merged_into_id = ANY(:winners_and_losers) AND w.id = l._merged_into_id AND w._merged_into_id IS NOT NULL
  AND w._merged_into_id <> l.id;

-- name: changes_unseen
-- The leads of which the mirror does not show one of these changes. Booleans are spelt True there, true here.
SELECT DISTINCT c.lead_id
FROM jsonb_to_recordset(CAST(:changes AS jsonb)) AS c (lead_id bigint, name text, value text)
LEFT JOIN lead l ON l.id = c.lead_id AND l._deleted_at IS NULL
LEFT JOIN lead_field f ON f.name = c.name AND f._removed_at IS NULL
CROSS JOIN LATERAL (SELECT to_jsonb(l) -> f.column_name AS now) AS v
WHERE l.id IS NULL OR f.name IS NULL OR l._unparsed ? c.name
   OR CASE jsonb_typeof(v.now) WHEN 'boolean' THEN lower(c.value) ELSE c.value END IS DISTINCT FROM v.now #>> '{}';

-- name: leads_unseen
-- Leads that the mirror does not hold whole and that are not in the dirty set.
SELECT i.lead_id FROM unnest(CAST(:ids AS bigint[])) AS i (lead_id)
WHERE NOT EXISTS (SELECT FROM lead l WHERE l.id = i.lead_id AND l._deleted_at IS NULL AND l.created_at IS NOT NULL)
  AND NOT EXISTS (SELECT FROM dirty_lead d WHERE d.lead_id = i.lead_id);

-- name: mirrored_since
-- When the oldest row was written: asked once, before the logs are followed.
SELECT min(_synced_at) FROM lead;

-- name: leads_seen_since
-- Living leads that were written well after a moment of the log; the two clocks may differ by minutes.
SELECT DISTINCT m.lead_id
FROM jsonb_to_recordset(CAST(:moments AS jsonb)) AS m (lead_id bigint, at timestamptz)
JOIN lead l ON l.id = m.lead_id AND l._deleted_at IS NULL AND l._synced_at > m.at + interval '5 minutes';

-- name: lead_purge
-- Forget retired leads, once no file that is still to be loaded could bring them back.
DELETE FROM lead WHERE _deleted_at IS NOT NULL AND NOT EXISTS (SELECT FROM backfill_window WHERE state <> 'done');

-- name: lead_count
-- Living leads and tombstones.
SELECT count(*) FILTER (WHERE _deleted_at IS NULL) AS living, count(*) FILTER (WHERE _deleted_at IS NOT NULL) AS retired,
    count(*) FILTER (WHERE _unparsed IS NOT NULL) AS unparsed
FROM lead;

-- name: lead_living
-- Which of these leads are alive in the mirror.
SELECT id FROM lead WHERE id = ANY(:ids) AND _deleted_at IS NULL;

-- name: lead_pages
-- Pages of consecutive ids that hold living leads, and how many.
SELECT id / :ids AS page, count(*) AS leads FROM lead WHERE _deleted_at IS NULL GROUP BY 1 ORDER BY 1;

-- name: lead_documents
-- Leads as documents, for a person who asked to see values.
SELECT id, to_jsonb(l) AS row FROM lead l WHERE id = ANY(:ids);

-- name: lead_ids_after
-- Ids of living leads, a page at a time.
SELECT id FROM lead WHERE id > :after AND _deleted_at IS NULL ORDER BY id LIMIT :most;

-- name: windows_plan
-- Plan windows, newest first; those that are planned already stay as they are.
INSERT INTO backfill_window (filter, starts_at, ends_at)
SELECT :filter, starts_at, ends_at FROM jsonb_to_recordset(CAST(:windows AS jsonb)) AS w (starts_at timestamptz, ends_at timestamptz)
ORDER BY starts_at DESC
ON CONFLICT DO NOTHING;

-- name: windows_forget
-- A new full backfill begins.
DELETE FROM backfill_window;

-- name: windows_forget_changed
-- Other windows of dates of change are planned; an older plan of them is part of the new one.
DELETE FROM backfill_window WHERE filter = 'updatedAt';

-- name: not_offered
-- Whether Marketo said that the subscription does not have this.
SELECT EXISTS (SELECT FROM not_offered WHERE what = :what);

-- name: not_offered_put
-- Marketo says that the subscription does not have this.
INSERT INTO not_offered (what, code) VALUES (:what, :code) ON CONFLICT DO NOTHING;

-- name: not_offered_forget
-- Everything may be asked for again.
DELETE FROM not_offered;

-- name: windows
-- All windows, in the order in which they are loaded.
SELECT * FROM backfill_window ORDER BY starts_at DESC;

-- name: window_created
-- A job exists for the window.
UPDATE backfill_window SET state = 'created', export_id = :export_id, job_fields = :fields WHERE id = :id AND state = 'planned';

-- name: window_queued
-- The job of the window was started; the moment before it is kept.
UPDATE backfill_window SET state = 'queued', exported_at = :exported_at WHERE id = :id AND state = 'created';

-- name: window_again
-- The job of the window came to nothing.
UPDATE backfill_window SET state = 'planned', export_id = NULL, exported_at = NULL, job_fields = NULL WHERE id = :id;

-- name: window_ids_only
-- The window's file can't be loaded: no more than the ids of its leads are exported.
UPDATE backfill_window SET state = 'planned', export_id = NULL, exported_at = NULL, job_fields = NULL, only_fields = '{}'
WHERE id = :id AND only_fields IS DISTINCT FROM '{}';

-- name: window_split
-- A window is halved: its older half stays, its newer half is another window.
WITH w AS (
    SELECT id, filter, ends_at, only_fields, date_trunc('second', starts_at + (ends_at - starts_at) / 2) AS middle FROM backfill_window WHERE id = :id
), older AS (
    UPDATE backfill_window b SET ends_at = w.middle, state = 'planned', export_id = NULL, exported_at = NULL, rows = NULL, bytes = NULL,
        job_fields = NULL
    FROM w WHERE b.id = w.id
)
INSERT INTO backfill_window (filter, starts_at, ends_at, only_fields) SELECT filter, middle + interval '1 second', ends_at, only_fields FROM w;

-- name: window_guess
-- How many bytes the file of a window will have, going by itself before, or by the windows nearest to it; NULL where nothing is known.
SELECT coalesce(w.bytes, (SELECT sum(n.bytes) / sum(n.seconds) FROM (
        SELECT d.bytes, extract(epoch FROM d.ends_at - d.starts_at) + 1 AS seconds FROM backfill_window d
        WHERE d.state = 'done' AND d.filter = w.filter AND d.bytes IS NOT NULL ORDER BY abs(extract(epoch FROM d.starts_at - w.starts_at)) LIMIT 3) AS n)
    * (extract(epoch FROM w.ends_at - w.starts_at) + 1))::bigint
FROM backfill_window w WHERE w.id = :id AND w.only_fields IS NULL;

-- name: window_done
-- The window's leads are in the mirror, unless its fields changed meanwhile. Proofs of a whole load outlast one of some fields.
UPDATE backfill_window
SET state = 'done', rows = CASE WHEN only_fields IS NULL OR rows IS NULL THEN :rows ELSE rows END,
    bytes = CASE WHEN only_fields IS NULL OR bytes IS NULL THEN :bytes ELSE bytes END,
    checksum = CASE WHEN only_fields IS NULL OR checksum IS NULL THEN :checksum ELSE checksum END,
    unparsed = CASE WHEN only_fields IS NULL OR unparsed IS NULL THEN :unparsed ELSE unparsed END,
    finished_at = now(), only_fields = NULL, job_fields = NULL
WHERE id = :id AND state = 'queued' AND export_id = :export_id;

-- name: database_now
-- The server's present moment.
SELECT clock_timestamp();

-- name: partition_put
-- Write the lead partitions; only what differs, and note those that are gone.
WITH listed AS (
    SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS t (id bigint, name text, description text)
), gone AS (
    UPDATE lead_partition SET _removed_at = now(), _synced_at = now()
    WHERE _removed_at IS NULL AND id NOT IN (SELECT id FROM listed)
)
INSERT INTO lead_partition AS p (id, name, description) SELECT DISTINCT ON (id) id, name, description FROM listed ORDER BY id
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, description = EXCLUDED.description, _synced_at = now(), _removed_at = NULL
WHERE (p.name, p.description, p._removed_at) IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.description, NULL::timestamptz);

-- name: static_list_put
-- Write the static lists; only what differs, and note those that are gone.
WITH listed AS (
    SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS t (id bigint, name text, description text, program_name text,
        workspace_name text, created_at timestamptz, updated_at timestamptz)
), gone AS (
    UPDATE static_list SET _removed_at = now(), _synced_at = now() WHERE _removed_at IS NULL AND id NOT IN (SELECT id FROM listed)
)
INSERT INTO static_list AS s (id, name, description, program_name, workspace_name, created_at, updated_at)
SELECT DISTINCT ON (id) id, name, description, program_name, workspace_name, created_at, updated_at FROM listed ORDER BY id
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, description = EXCLUDED.description, program_name = EXCLUDED.program_name,
    workspace_name = EXCLUDED.workspace_name, created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
    _synced_at = now(), _removed_at = NULL
WHERE (s.name, s.description, s.program_name, s.workspace_name, s.created_at, s.updated_at, s._removed_at) IS DISTINCT FROM
    (EXCLUDED.name, EXCLUDED.description, EXCLUDED.program_name, EXCLUDED.workspace_name, EXCLUDED.created_at, EXCLUDED.updated_at,
        NULL::timestamptz);

-- name: program_put
-- Write the programs; only what differs, and note those that are gone.
WITH listed AS (
    SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS t (id bigint, name text, description text, type text, channel text,
        status text, workspace text, url text, created_at timestamptz, updated_at timestamptz)
), gone AS (
    UPDATE program SET _removed_at = now(), _synced_at = now() WHERE _removed_at IS NULL AND id NOT IN (SELECT id FROM listed)
)
INSERT INTO program AS p (id, name, description, type, channel, status, workspace, url, created_at, updated_at)
SELECT DISTINCT ON (id) id, name, description, type, channel, status, workspace, url, created_at, updated_at FROM listed ORDER BY id
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, description = EXCLUDED.description, type = EXCLUDED.type,
    channel = EXCLUDED.channel, status = EXCLUDED.status, workspace = EXCLUDED.workspace, url = EXCLUDED.url,
    created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at, _synced_at = now(), _removed_at = NULL
WHERE (p.name, p.description, p.type, p.channel, p.status, p.workspace, p.url, p.created_at, p.updated_at, p._removed_at)
    IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.description, EXCLUDED.type, EXCLUDED.channel, EXCLUDED.status, EXCLUDED.workspace,
        EXCLUDED.url, EXCLUDED.created_at, EXCLUDED.updated_at, NULL::timestamptz);

-- name: smart_campaign_put
-- Write the smart campaigns; only what differs, and note those that are gone.
WITH listed AS (
    SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS t (id bigint, name text, description text, type text, status text,
        is_active boolean, is_requestable boolean, workspace text, created_at timestamptz, updated_at timestamptz)
), gone AS (
    UPDATE smart_campaign SET _removed_at = now(), _synced_at = now()
    WHERE _removed_at IS NULL AND id NOT IN (SELECT id FROM listed)
)
INSERT INTO smart_campaign AS c (id, name, description, type, status, is_active, is_requestable, workspace, created_at, updated_at)
SELECT DISTINCT ON (id) id, name, description, type, status, is_active, is_requestable, workspace, created_at, updated_at FROM listed ORDER BY id
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, description = EXCLUDED.description, type = EXCLUDED.type,
    status = EXCLUDED.status, is_active = EXCLUDED.is_active, is_requestable = EXCLUDED.is_requestable,
    workspace = EXCLUDED.workspace, created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
    _synced_at = now(), _removed_at = NULL
WHERE (c.name, c.description, c.type, c.status, c.is_active, c.is_requestable, c.workspace, c.created_at, c.updated_at,
        c._removed_at)
    IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.description, EXCLUDED.type, EXCLUDED.status, EXCLUDED.is_active,
        EXCLUDED.is_requestable, EXCLUDED.workspace, EXCLUDED.created_at, EXCLUDED.updated_at, NULL::timestamptz);

-- name: asset_count
-- How many assets of each kind the mirror holds.
SELECT (SELECT count(*) FROM lead_partition WHERE _removed_at IS NULL) AS partitions,
    (SELECT count(*) FROM static_list WHERE _removed_at IS NULL) AS lists,
    (SELECT count(*) FROM program WHERE _removed_at IS NULL) AS programs,
    (SELECT count(*) FROM smart_campaign WHERE _removed_at IS NULL) AS campaigns;

-- name: part_settings
-- A part of a file is sorted in memory; its loss with the server would only mean to write it again.
SELECT set_config('work_mem', '64MB', true) AS memory, set_config('synchronous_commit', 'off', true) AS safety;
