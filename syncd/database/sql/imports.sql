-- name: import_backlog
-- Whether so many rows wait that a file may be worth while; one look at the head of two indexes.
SELECT (SELECT count(*) FROM (SELECT FROM outbox_queue WHERE state = 'new' ORDER BY outbox_id LIMIT :least) AS fresh)
    + (SELECT count(*) FROM (SELECT FROM outbox_queue WHERE state = 'ready' ORDER BY outbox_id LIMIT :least) AS ready) >= :least;

-- name: import_room
-- How many imports are under way, and whether one that came to nothing asks for a rest.
SELECT count(*) FILTER (WHERE finished_at IS NULL) AS under_way, coalesce(bool_or(rest_until > clock_timestamp()), false) AS resting
FROM outbox_import WHERE finished_at IS NULL OR finished_at > clock_timestamp() - interval '1 day';

-- name: import_ungraded
-- Rows that may go and that nobody has looked at for imports.
SELECT outbox_id FROM outbox_queue WHERE state = 'ready' AND import_as IS NULL AND outbox_id > :after ORDER BY outbox_id LIMIT :most;

-- name: import_grade
-- Tell which rows can share a file: upserts by one field, or updates by id, of the same fields, without lock, halt, option or doubt. A file has
-- no certain word for an emptied field, for blanks around a value, nor for line ends and backslashes, and keys with commas cannot be read back.
SELECT f.outbox_id, f.bytes, CASE
    WHEN f.run IS NOT NULL AND NOT f.unknown AND f.bytes <= 100000 AND o.options - 'on_failure' = '{}'
        AND CASE o.operation WHEN 'create_or_update' THEN n.lookup <> 'id' WHEN 'update_only' THEN n.lookup = 'id' ELSE false END
        AND v.plain AND NOT o.payload ?| CAST(:never AS text[])
        AND o.payload ->> n.lookup ~ '^[ -~]{1,255}$' AND o.payload ->> n.lookup !~ ','
    THEN md5(f.shape || v.fields) ELSE '' END AS import_as
FROM outbox_queue f JOIN outbox o ON o.id = f.outbox_id
CROSS JOIN LATERAL (SELECT outbox_lookup(o.lookup_field, o.payload) AS lookup) AS n
CROSS JOIN LATERAL (
    SELECT string_agg(e.key, chr(31) ORDER BY e.key) AS fields, bool_and(CASE jsonb_typeof(e.value)
        WHEN 'string' THEN e.value #>> '{}' !~ '^$|^\s|\s$|[\u0001-\u001f\u007f-\u009f\u2028\u2029\ufeff\\]' AND lower(e.value #>> '{}') <> 'null'
        WHEN 'number' THEN e.value #>> '{}' ~ '^-?(\d{1,18}|\d{1,11}\.\d{0,3}[1-9])$'
        ELSE jsonb_typeof(e.value) = 'boolean' END) AS plain
    FROM jsonb_each(o.payload) AS e) AS v
WHERE f.outbox_id = ANY(:ids) AND f.import_as IS NULL AND f.state IN ('ready', 'blocked');

-- name: import_note
-- Note which rows can share a file.
UPDATE outbox_queue q SET import_as = n.import_as
FROM unnest(CAST(:ids AS bigint[]), CAST(:marks AS text[])) AS n (outbox_id, import_as)
WHERE q.outbox_id = n.outbox_id AND q.import_as IS NULL AND q.state IN ('ready', 'blocked');

-- name: import_groups
-- Rows that may go now and can share a file, the group of the earliest row first.
SELECT import_as, count(*) AS rows, sum(bytes) AS bytes, min(outbox_id) AS earliest
FROM outbox_queue WHERE state = 'ready' AND import_as <> '' GROUP BY import_as ORDER BY 4;

-- name: import_shape
-- What the rows of a group have in common.
SELECT operation, outbox_lookup(lookup_field, payload) AS lookup, partition_name FROM outbox WHERE id = :id;

-- name: import_candidates
-- The next rows for a file.
SELECT outbox_id, bytes
FROM (
    SELECT outbox_id, bytes, sum(bytes) OVER (ORDER BY outbox_id) AS total
    FROM (SELECT outbox_id, bytes FROM outbox_queue WHERE state = 'ready' AND import_as = :import_as ORDER BY outbox_id LIMIT :most) AS first_rows
) AS counted
WHERE total <= :bytes
ORDER BY outbox_id;

-- name: import_weight
-- Bytes of the payloads in a file.
SELECT coalesce(sum(bytes), 0)::bigint FROM outbox_queue WHERE claim = :claim AND state = 'sending';

-- name: import_others
-- Other unfinished rows of the same leads; of each name no more than could share a record.
SELECT DISTINCT other.outbox_id
FROM outbox_key mine CROSS JOIN LATERAL (
    SELECT k.outbox_id FROM outbox_key k WHERE k.key = mine.key AND k.outbox_id > mine.outbox_id ORDER BY k.outbox_id LIMIT :most) AS other
WHERE mine.outbox_id = ANY(:ids);

-- name: import_fit
-- Those of the candidates whose lead is one, and which no other row touches, or only rows that can share their record. (A call tells when a
-- key has several leads; an import may choose one.) One that is about to expire, or had a doubtful try since it was graded, goes by a call.
WITH rivals AS MATERIALIZED (
    SELECT m.outbox_id, other.outbox_id AS other
    FROM outbox_key m CROSS JOIN LATERAL (
        SELECT k.outbox_id FROM outbox_key k WHERE k.key = m.key AND k.outbox_id <> m.outbox_id ORDER BY k.outbox_id LIMIT :most) AS other
    WHERE m.outbox_id = ANY(:ids)
), unfit AS MATERIALIZED (
    SELECT r.outbox_id
    FROM rivals r
    CROSS JOIN LATERAL (SELECT * FROM outbox_queue WHERE outbox_id = r.outbox_id OFFSET 0) AS q
    CROSS JOIN LATERAL (SELECT * FROM outbox_queue WHERE outbox_id = r.other OFFSET 0) AS o
    WHERE NOT coalesce(CAST(:coalesce AS boolean) AND r.other > r.outbox_id AND o.state = 'blocked'
        AND o.run = q.run AND o.shape = q.shape AND o.import_as = q.import_as AND NOT o.unknown AND o.due_at <= clock_timestamp()
        AND (o.expires_at IS NULL OR o.expires_at > clock_timestamp() + interval '5 minutes'), false)
    UNION ALL
    SELECT outbox_id FROM outbox_key WHERE outbox_id = ANY(:ids) AND key LIKE 'lead:%' GROUP BY outbox_id HAVING count(*) > 1
)
SELECT outbox_id FROM outbox_queue
WHERE outbox_id = ANY(:ids) AND NOT unknown AND (expires_at IS NULL OR expires_at > clock_timestamp() + interval '5 minutes')
  AND outbox_id NOT IN (SELECT outbox_id FROM unfit)
ORDER BY outbox_id;

-- name: import_claim
-- Claim those of the rows whose keys nobody holds, as for a call but under a number that the file has already, and close their keys.
WITH held AS MATERIALIZED (
    SELECT m.outbox_id
    FROM outbox_key m CROSS JOIN LATERAL (
        SELECT FROM outbox_key k WHERE k.key = m.key AND (k.outbox_id < m.outbox_id OR k.busy) AND k.outbox_id <> m.outbox_id LIMIT 1) AS holder
    WHERE m.outbox_id = ANY(:ids)
), won AS (
    UPDATE outbox_queue q
    SET state = 'sending', claim = :claim, replica = :replica, claimed_at = clock_timestamp()
    WHERE q.outbox_id = ANY(:ids) AND q.state = 'ready' AND q.outbox_id NOT IN (SELECT outbox_id FROM held)
    RETURNING q.outbox_id
), closed AS (
    UPDATE outbox_key k SET busy = true FROM won w WHERE k.outbox_id = w.outbox_id
)
SELECT outbox_id FROM won;

-- name: import_not
-- Rows that go by calls, whatever they hold.
UPDATE outbox_queue SET import_as = '' WHERE outbox_id = ANY(:ids);

-- name: import_sending
-- Mark rows that were claimed for a file.
UPDATE outbox SET status = 'sending', attempts = attempts + 1, first_sent_at = coalesce(first_sent_at, clock_timestamp()), next_attempt_at = NULL
WHERE id = ANY(:ids);

-- name: import_begin
-- A file is being gathered, under the number of a claim.
INSERT INTO outbox_import (claim, operation, lookup_field, partition_name, replica)
VALUES (nextval('outbox_claim'), :operation, :lookup_field, :partition_name, :replica)
RETURNING claim;

-- name: import_hold
-- Make sure that a file is still being gathered, and that nobody gives its rows back meanwhile.
SELECT claim FROM outbox_import WHERE claim = :claim AND state = 'gathering' FOR UPDATE;

-- name: import_counted
-- So many more rows are in it.
UPDATE outbox_import SET rows = rows + :rows WHERE claim = :claim;

-- name: import_posting
-- The file is about to leave, unless the claim was taken from its replica meanwhile.
UPDATE outbox_import SET state = 'posting', posted_at = clock_timestamp(), records = :records, bytes = :bytes
WHERE claim = :claim AND state = 'gathering' RETURNING claim;

-- name: import_posted
-- Marketo has taken the file and given it a number.
UPDATE outbox_import SET state = 'running', batch_id = :batch_id, request_id = :request_id, progress = :progress,
    look_at = clock_timestamp() + :seconds * interval '1 second'
WHERE claim = :claim AND state = 'posting' RETURNING claim;

-- name: import_due
-- Take one import that somebody should look after now; others let it be for some seconds.
UPDATE outbox_import SET look_at = clock_timestamp() + :seconds * interval '1 second'
WHERE claim = (
    SELECT claim FROM outbox_import WHERE state = 'running' AND finished_at IS NULL AND look_at <= clock_timestamp()
    ORDER BY look_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING claim, operation, lookup_field, partition_name, batch_id, request_id, records, failed,
    extract(epoch FROM clock_timestamp() - posted_at)::float AS age;

-- name: import_seen
-- How an import stands, and when somebody looks again.
UPDATE outbox_import SET progress = coalesce(CAST(:progress AS text), progress), look_at = clock_timestamp() + :seconds * interval '1 second'
WHERE claim = :claim AND state = 'running';

-- name: import_sifted
-- What Marketo refused is settled, and not for a second time.
UPDATE outbox_import SET failed = :failed, warned = :warned WHERE claim = :claim AND state = 'running' AND failed IS NULL RETURNING claim;

-- name: import_finish
-- All rows of a file are settled; where somebody else is still at some of them, nothing is.
UPDATE outbox_import SET state = :state, finished_at = clock_timestamp(), progress = coalesce(CAST(:progress AS text), progress),
    error_code = :error_code, error_message = :error_message,
    rest_until = clock_timestamp() + CAST(:rest AS double precision) * interval '1 second'
WHERE claim = :claim AND finished_at IS NULL
  AND NOT EXISTS (SELECT FROM outbox_queue q WHERE q.claim = :claim AND q.state = 'sending')
RETURNING claim;

-- name: import_next
-- Seconds until somebody should look after an import; NULL where none runs.
SELECT extract(epoch FROM min(look_at) - clock_timestamp())::float FROM outbox_import WHERE finished_at IS NULL AND state = 'running';

-- name: import_orphans
-- Files that never got a number and that nobody is at: left over by this replica, or by one whose session has ended. Such a one may still
-- be waiting for Marketo's answer, and write the number down when it comes, until the call's own time is over.
SELECT i.claim, i.operation, i.lookup_field, i.partition_name, i.state,
    extract(epoch FROM clock_timestamp() - coalesce(i.posted_at, i.started_at))::float AS age
FROM outbox_import i
WHERE i.finished_at IS NULL AND i.state IN ('gathering', 'posting') AND (
    i.replica = CAST(:mine AS bigint)
    OR (i.state = 'gathering' OR i.posted_at < clock_timestamp() - :answers_within * interval '1 second') AND NOT EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = CAST(:kind AS oid) AND l.objid = CAST(i.replica AS oid) AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))
ORDER BY i.claim;

-- name: import_rows
-- The rows of a file that are not settled yet.
SELECT o.id, o.payload, o.attempts, q.unknown, o.on_unknown_outcome, o.first_sent_at,
    CASE WHEN o.attempts > 1 THEN (SELECT count(*) FROM outbox_attempt a WHERE a.outbox_id = o.id AND a.outcome = 'retry') ELSE 0 END
        AS turned_away
FROM outbox_queue q JOIN outbox o ON o.id = q.outbox_id
WHERE q.claim = :claim AND q.state = 'sending'
ORDER BY o.id;

-- name: import_mark
-- Mark leads that are about to be read, and tell the marks: whoever reads them meanwhile does not count.
INSERT INTO dirty_lead AS d (lead_id, reason)
SELECT DISTINCT lead_id, 'import' FROM unnest(CAST(:ids AS bigint[])) AS m (lead_id) ORDER BY lead_id
ON CONFLICT (lead_id) DO UPDATE SET mark = nextval('dirty_mark'), marked_at = now()
RETURNING lead_id, mark;

-- name: import_known
-- Which of these leads the mirror has a row for.
SELECT id FROM lead WHERE id = ANY(:ids);

-- name: import_overtaken
-- Of the leads that were new and have just been written: those that somebody else had written a moment before, perhaps as they are now.
SELECT id FROM lead WHERE id = ANY(:ids) AND xmax <> 0;

-- name: import_counts
-- How many files are under way, and how many rows are in them.
SELECT count(*) AS under_way, coalesce(sum(rows), 0)::bigint AS rows FROM outbox_import WHERE finished_at IS NULL;

-- name: import_prune
-- Forget imports that ended long ago.
DELETE FROM outbox_import WHERE finished_at < now() - CAST(:days AS integer) * interval '1 day';
