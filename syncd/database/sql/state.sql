-- name: replica_new
-- Register a process.
INSERT INTO replica (host, pid, version) VALUES (:host, :pid, :version) RETURNING id;

-- name: replica_prune
-- Forget processes that are gone and whose claims are settled.
DELETE FROM replica r
WHERE r.started_at < now() - interval '1 day'
  AND NOT EXISTS (SELECT FROM outbox_queue q WHERE q.replica = r.id)
  AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = CAST(:kind AS oid)
    AND l.objid = CAST(r.id AS oid) AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()));

-- name: replicas_alive
-- The processes whose session stands, and the rows of the outbox that each is sending: nobody else may send those.
SELECT r.id, r.host, r.pid, r.version, r.started_at, s.rows, s.oldest
FROM replica r
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, extract(epoch FROM clock_timestamp() - min(q.claimed_at))::float AS oldest
    FROM outbox_queue q WHERE q.state = 'sending' AND q.replica = r.id) AS s
WHERE EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = CAST(:kind AS oid)
    AND l.objid = CAST(r.id AS oid) AND l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
ORDER BY r.id;

-- name: cursor_get
-- Where a feed stands, and how far it has read.
SELECT token, reached_at FROM cursor WHERE feed = :feed;

-- name: cursor_hold
-- Where a feed stands; it moves no more before this transaction ends.
SELECT token, reached_at FROM cursor WHERE feed = :feed FOR UPDATE;

-- name: cursor_put
-- Move a feed.
INSERT INTO cursor (feed, token, reached_at) VALUES (:feed, :token, :reached_at)
ON CONFLICT (feed) DO UPDATE SET token = EXCLUDED.token, reached_at = EXCLUDED.reached_at, updated_at = now();

-- name: cursor_first
-- Start a feed, unless it has been started before.
INSERT INTO cursor (feed, token, reached_at) VALUES (:feed, :token, :reached_at) ON CONFLICT (feed) DO NOTHING;

-- name: cursor_age
-- Seconds since the time until which a feed has read the log.
SELECT extract(epoch FROM now() - reached_at)::float FROM cursor WHERE feed = :feed;

-- name: run_start
-- A feed begins a run; runs of it that were cut off are closed.
WITH cut AS (
    UPDATE run SET outcome = 'stopped', finished_at = now() WHERE feed = :feed AND outcome = 'running'
)
INSERT INTO run (feed) VALUES (:feed) RETURNING id;

-- name: run_end
-- A run is over.
UPDATE run SET outcome = :outcome, finished_at = now(), counts = CAST(:counts AS jsonb), error = CAST(:error AS text) WHERE id = :id;

-- name: run_last
-- The last run of a feed.
SELECT extract(epoch FROM now() - started_at)::float AS age, outcome FROM run WHERE feed = :feed ORDER BY id DESC LIMIT 1;

-- name: run_first_age
-- How long ago the oldest run in the books began.
SELECT extract(epoch FROM now() - min(started_at))::float FROM run;

-- name: run_prune
-- Keep the latest runs of each feed.
DELETE FROM run WHERE id IN (
    SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY feed ORDER BY id DESC) AS place FROM run) AS r WHERE place > 1000);

-- name: runs_last
-- The last run of each feed and its last good one.
SELECT DISTINCT ON (feed) feed, outcome, started_at, finished_at, counts, error,
    (SELECT max(g.finished_at) FROM run g WHERE g.feed = r.feed AND g.outcome = 'done') AS last_done_at
FROM run r ORDER BY feed, id DESC;

-- name: dirty_mark
-- Mark leads whose row may be old; what the outbox wrote does not hide that there is news from Marketo.
INSERT INTO dirty_lead AS d (lead_id, reason)
SELECT DISTINCT lead_id, CAST(:reason AS text) FROM unnest(CAST(:ids AS bigint[])) AS m (lead_id) ORDER BY lead_id
ON CONFLICT (lead_id) DO UPDATE SET mark = nextval('dirty_mark'), marked_at = now(),
    reason = CASE WHEN EXCLUDED.reason = 'outbox' THEN d.reason ELSE EXCLUDED.reason END;

-- name: dirty_next
-- The leads that have been dirty for longest. Those that an import is reading back by their keys at this moment are left to it.
SELECT array_agg(lead_id ORDER BY mark) AS ids, array_agg(mark ORDER BY mark) AS marks FROM (
    SELECT lead_id, mark FROM dirty_lead WHERE reason <> 'import' OR marked_at < now() - interval '1 minute' ORDER BY mark LIMIT :most) AS d;

-- name: dirty_clear
-- Take leads from the set that were not marked again since they were read, locked in the order in which others mark them;
-- and tell which come after them, as dirty_next does.
WITH mine AS (
    SELECT d.lead_id
    FROM dirty_lead d JOIN unnest(CAST(:ids AS bigint[]), CAST(:marks AS bigint[])) AS r (lead_id, mark)
        ON r.lead_id = d.lead_id AND r.mark = d.mark
    ORDER BY d.lead_id
    FOR UPDATE OF d
), cleared AS (
    DELETE FROM dirty_lead d USING mine m WHERE d.lead_id = m.lead_id RETURNING d.lead_id
), following AS (
    SELECT lead_id, mark FROM dirty_lead
    WHERE mark > (SELECT max(mark) FROM unnest(CAST(:marks AS bigint[])) AS r (mark))
      AND (reason <> 'import' OR marked_at < now() - interval '1 minute')
    ORDER BY mark LIMIT :most
)
SELECT (SELECT array_agg(lead_id) FROM cleared) AS cleared,
    array_agg(lead_id ORDER BY mark) AS ids, array_agg(mark ORDER BY mark) AS marks
FROM following;

-- name: dirty_due
-- Whether the set fills a call, holds news from Marketo, or has waited for long.
SELECT count(*) >= :most OR coalesce(bool_or(reason <> 'outbox'), false)
    OR coalesce(min(marked_at) < now() - :seconds * interval '1 second', false)
FROM (
    SELECT reason, marked_at FROM dirty_lead WHERE reason <> 'import' OR marked_at < now() - interval '1 minute'
    ORDER BY mark LIMIT :most) AS d;

-- name: dirty_forget
-- Leads that are gone need no reading; a read of them that is under way no longer counts.
DELETE FROM dirty_lead WHERE lead_id IN (
    SELECT lead_id FROM dirty_lead WHERE lead_id = ANY(:ids) ORDER BY lead_id FOR UPDATE);

-- name: dirty_count
-- How many leads are dirty, and for how long.
SELECT count(*) AS leads, extract(epoch FROM now() - min(marked_at))::float AS oldest_seconds FROM dirty_lead;

-- name: pause_put
-- Marketo told us to leave something alone.
INSERT INTO quota_pause (what, until, reason) VALUES (:what, :until, :reason)
ON CONFLICT (what) DO UPDATE SET until = EXCLUDED.until, reason = EXCLUDED.reason;

-- name: pause_get
-- Until when something is to be left alone.
SELECT until, reason FROM quota_pause WHERE what = :what AND until > now();

-- name: pauses
-- All that is to be left alone.
SELECT what, until, reason FROM quota_pause WHERE until > now() ORDER BY what;

-- name: feed_ever_done
-- Whether a feed has ever run to its end.
SELECT EXISTS (SELECT FROM run WHERE feed = :feed AND outcome = 'done');
