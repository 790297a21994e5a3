-- The queue is full at one moment and empty at the next, and PostgreSQL may hold it for empty while it is full. OFFSET 0, and arrays of
-- ids, let each row be looked up by its index then too, where a join would go through all rows again and again.

-- name: queue_sort
-- Look at rows that were inserted since: note their own keys (an index entry has its limit), their shape and when they are due, and let
-- those go that no earlier unfinished row holds back, unless they are to get further keys first (more_keys).
WITH fresh AS MATERIALIZED (
    SELECT q.outbox_id, o.operation, o.payload, o.options, o.partition_name, o.not_before, o.expires_at, o.created_at,
        o.if_matches IS NOT NULL OR o.if_unchanged_since IS NOT NULL AS locked,
        l.lookup, jsonb_build_array(o.operation, l.lookup, o.partition_name, o.options - 'on_failure')::text AS shape
    FROM (SELECT outbox_id FROM outbox_queue WHERE state = 'new' ORDER BY outbox_id LIMIT :most) AS q
    CROSS JOIN LATERAL (SELECT * FROM outbox WHERE id = q.outbox_id OFFSET 0) AS o
    CROSS JOIN LATERAL (SELECT outbox_lookup(o.lookup_field, o.payload) AS lookup) AS l
), named AS MATERIALIZED (
    SELECT DISTINCT k.kind || CASE WHEN length(k.name) > 500 THEN md5(k.name) ELSE k.name END AS key, k.outbox_id
    FROM (
        SELECT outbox_id, 'lead:', payload ->> 'id' FROM fresh
        UNION ALL
        SELECT outbox_id, 'email:', lower(stripped(coalesce(payload ->> 'email', payload #>> '{leadFormFields,email}'))) FROM fresh
        UNION ALL
        SELECT outbox_id, 'field:', lookup || ':' || lower(stripped(payload ->> lookup)) FROM fresh WHERE lookup NOT IN ('id', 'email')
        UNION ALL
        SELECT outbox_id, 'schema:', lower(payload ->> 'name') FROM fresh WHERE operation IN ('create_field', 'update_field')
        UNION ALL
        SELECT outbox_id, 'lead:', loser FROM fresh CROSS JOIN LATERAL jsonb_array_elements_text(payload -> 'leadIds') AS loser
        WHERE operation = 'merge'
    ) AS k (outbox_id, kind, name)
    WHERE k.name IS NOT NULL
), keyed AS (
    INSERT INTO outbox_key (key, outbox_id) SELECT key, outbox_id FROM named ON CONFLICT DO NOTHING
), held AS (
    SELECT DISTINCT n.outbox_id
    FROM (SELECT key, outbox_id, min(outbox_id) OVER (PARTITION BY key) AS first FROM named) AS n
    WHERE least(n.first, (SELECT o.outbox_id FROM outbox_key o WHERE o.key = n.key ORDER BY o.outbox_id LIMIT 1)) < n.outbox_id
)
UPDATE outbox_queue q
SET state = CASE WHEN CAST(:more_keys AS boolean) OR h.outbox_id IS NOT NULL THEN 'blocked'
        WHEN coalesce(f.not_before, f.created_at) <= clock_timestamp() THEN 'ready' ELSE 'waiting' END,
    shape = CASE WHEN length(f.shape) > 500 THEN md5(f.shape) ELSE f.shape END,
    run = CASE WHEN f.operation IN ('create_or_update', 'update_only') AND f.options ->> 'on_failure' IS DISTINCT FROM 'halt' AND NOT f.locked
        THEN hashtextextended(f.lookup || ':' || lower(stripped(f.payload ->> f.lookup)), 0) END,
    bytes = octet_length(f.payload::text) + 2,
    due_at = coalesce(f.not_before, f.created_at),
    expires_at = f.expires_at
FROM fresh f LEFT JOIN held h ON h.outbox_id = f.outbox_id
WHERE q.outbox_id = f.outbox_id
RETURNING q.outbox_id, coalesce(q.expires_at <= statement_timestamp(), false) AS over;

-- name: queue_release
-- Let those of the rows go that no earlier unfinished row holds back.
UPDATE outbox_queue q
SET state = CASE WHEN q.due_at <= clock_timestamp() THEN 'ready' ELSE 'waiting' END
WHERE q.outbox_id = ANY(:ids) AND q.state = 'blocked'
  AND NOT EXISTS (
    SELECT FROM (SELECT key, outbox_id FROM outbox_key WHERE outbox_id = q.outbox_id OFFSET 0) AS mine
    WHERE EXISTS (SELECT FROM outbox_key other WHERE other.key = mine.key AND other.outbox_id < mine.outbox_id));

-- name: queue_promote
-- After keys became free: let the first row of each of them go, where it is the first of all its keys.
UPDATE outbox_queue q
SET state = CASE WHEN q.due_at <= clock_timestamp() THEN 'ready' ELSE 'waiting' END
WHERE q.outbox_id = ANY(ARRAY(
    SELECT h.outbox_id
    FROM unnest(CAST(:keys AS text[])) AS freed (key)
    CROSS JOIN LATERAL (
        SELECT k.outbox_id FROM outbox_key k WHERE k.key = freed.key ORDER BY k.outbox_id LIMIT 1) AS h))
  AND q.state = 'blocked'
  AND NOT EXISTS (
    SELECT FROM (SELECT key, outbox_id FROM outbox_key WHERE outbox_id = q.outbox_id OFFSET 0) AS mine
    WHERE EXISTS (SELECT FROM outbox_key other WHERE other.key = mine.key AND other.outbox_id < mine.outbox_id));

-- name: queue_look
-- What a claim must see to first: rows that are due, over or new, and whether new ones should be looked at: where the shape that is next
-- could not fill a call, or too few rows are known to see who could share a record. One look at the head of each index.
SELECT
    coalesce((SELECT min(due_at) <= statement_timestamp() FROM outbox_queue WHERE state IN ('waiting', 'closing')), false) AS due,
    coalesce((SELECT min(expires_at) <= statement_timestamp() FROM outbox_queue
        WHERE expires_at IS NOT NULL AND state NOT IN ('sending', 'closing')), false) AS over,
    CASE WHEN (SELECT true FROM outbox_queue WHERE state = 'new' ORDER BY outbox_id LIMIT 1) THEN
        (SELECT count(*) < :most FROM (
            SELECT FROM outbox_queue WHERE state = 'ready'
              AND shape = (SELECT f.shape FROM outbox_queue f WHERE f.state = 'ready' ORDER BY f.outbox_id LIMIT 1)
            ORDER BY outbox_id LIMIT :most) AS few)
        OR (SELECT count(*) < :ahead FROM (SELECT FROM outbox_queue WHERE state = 'ready' ORDER BY outbox_id LIMIT :ahead) AS known)
        ELSE false END AS sort;

-- name: queue_wake
-- Rows whose waiting time is over. (An index can be asked for what is stable within a statement alone.)
UPDATE outbox_queue SET state = 'ready' WHERE state = 'waiting' AND due_at <= statement_timestamp();

-- name: queue_closed
-- Rows whose keys have been closed for long enough, and whether they are finished.
SELECT q.outbox_id, o.finished_at IS NOT NULL AS finished
FROM outbox_queue q JOIN outbox o ON o.id = q.outbox_id
WHERE q.state = 'closing' AND q.due_at <= statement_timestamp();

-- name: queue_expire
-- End rows whose time is over; one that may have taken effect already is not called expired. Earlier rows that shared its record of
-- unknown outcome end with it: alone they would undo what it may have written.
WITH over AS MATERIALIZED (
    SELECT outbox_id, run, unknown, doubt FROM outbox_queue WHERE expires_at <= statement_timestamp() AND state NOT IN ('sending', 'closing')
), q AS (
    SELECT outbox_id, unknown FROM over
    UNION
    SELECT e.outbox_id, true
    FROM over v CROSS JOIN LATERAL (
        SELECT outbox_id FROM outbox_queue WHERE doubt = v.doubt AND run = v.run AND outbox_id < v.outbox_id
          AND state NOT IN ('sending', 'closing', 'halted') OFFSET 0) AS e
)
UPDATE outbox o
SET status = CASE WHEN o.id = ANY(ARRAY(SELECT outbox_id FROM q WHERE unknown)) THEN 'uncertain' ELSE 'expired' END, finished_at = now(),
    next_attempt_at = NULL, error_message = coalesce(o.error_message, 'it was not sent before expires_at')
WHERE o.id = ANY(ARRAY(SELECT outbox_id FROM q))
RETURNING o.id;

-- name: queue_candidates
-- The rows that could share the next call: of the shape of the earliest row that is ready, as many as its call takes.
SELECT array_agg(outbox_id ORDER BY outbox_id)
FROM (
    SELECT outbox_id, sum(bytes) OVER (ORDER BY outbox_id) AS total, row_number() OVER (ORDER BY outbox_id) AS place
    FROM (
        SELECT q.outbox_id, q.bytes FROM outbox_queue q
        WHERE q.state = 'ready'
          AND q.shape = (SELECT f.shape FROM outbox_queue f WHERE f.state = 'ready' ORDER BY f.outbox_id LIMIT 1)
        ORDER BY q.outbox_id
        LIMIT least(:most, (
            SELECT p.records FROM operation p WHERE p.name = (SELECT o.operation FROM outbox o WHERE o.id = (
                SELECT f.outbox_id FROM outbox_queue f WHERE f.state = 'ready' ORDER BY f.outbox_id LIMIT 1))))) AS first_rows
) AS counted
WHERE total <= :bytes OR place = 1;

-- name: queue_resolve
-- Add the other names of the leads that these rows touch, as the mirror knows them now. (OFFSET 0: look each of them up by the index,
-- whatever the planner believes of a table that has just grown.)
INSERT INTO outbox_key (key, outbox_id)
SELECT 'lead:' || l.id, k.outbox_id
FROM outbox_key k CROSS JOIN LATERAL (
    SELECT id FROM lead WHERE lower(email) = substr(k.key, 7) AND _deleted_at IS NULL OFFSET 0) AS l
WHERE k.outbox_id = ANY(:ids) AND k.key LIKE 'email:%'
UNION
SELECT 'email:' || lower(stripped(l.email)), k.outbox_id
FROM outbox_key k CROSS JOIN LATERAL (
    SELECT email FROM lead WHERE id = CASE WHEN k.key LIKE 'lead:%' THEN substr(k.key, 6)::bigint END AND email <> '' OFFSET 0) AS l
WHERE k.outbox_id = ANY(:ids) AND k.key LIKE 'lead:%'
ON CONFLICT DO NOTHING;

-- name: queue_claim
-- Claim those of the candidates whose keys nobody holds (no earlier unfinished row, no row being sent), and close their keys.
-- Return the claim's number, how many it won, and those of them behind which others wait.
WITH number AS MATERIALIZED (
    SELECT nextval('outbox_claim') AS claim
), won AS (
    UPDATE outbox_queue q
    SET state = 'sending', claim = (SELECT claim FROM number), replica = :replica, claimed_at = clock_timestamp()
    WHERE q.outbox_id = ANY(:ids) AND q.state = 'ready'
      AND NOT EXISTS (
        SELECT FROM (SELECT key, outbox_id FROM outbox_key WHERE outbox_id = q.outbox_id OFFSET 0) AS mine
        WHERE EXISTS (SELECT FROM outbox_key other WHERE other.key = mine.key AND other.outbox_id < mine.outbox_id)
           OR EXISTS (SELECT FROM outbox_key other WHERE other.key = mine.key AND other.busy AND other.outbox_id <> mine.outbox_id))
    RETURNING q.outbox_id, q.claim
), closed AS (
    UPDATE outbox_key k SET busy = true WHERE k.outbox_id = ANY(ARRAY(SELECT outbox_id FROM won)) RETURNING k.outbox_id, k.key
), followed AS (
    SELECT DISTINCT c.outbox_id FROM closed c
    CROSS JOIN LATERAL (
        SELECT FROM outbox_key later WHERE later.key = c.key AND later.outbox_id > c.outbox_id ORDER BY later.outbox_id LIMIT 1) AS behind
)
SELECT min(claim) AS claim, count(*) AS rows, (SELECT array_agg(outbox_id) FROM followed) AS followed FROM won;

-- name: queue_followers
-- Rows that can share a record with rows that were just claimed: right behind them on each of their keys, of their run, due, and without a key of their own.
-- Those that shared one of unknown outcome go together again, due or not, however many, and whatever turned out to stand between them since (it waits
-- for the first of them): an earlier row alone would undo a later one for a while.
WITH heads AS (
    SELECT q.outbox_id AS head, q.run, q.shape, q.doubt, k.key
    FROM outbox_queue q JOIN outbox_key k ON k.outbox_id = q.outbox_id
    WHERE q.outbox_id = ANY(:ids) AND q.run IS NOT NULL
), behind AS (
    SELECT h.head, h.run, b.outbox_id, b.doubt, b.bytes, b.fits AND b.place <= :each AS fits, b.names
    FROM heads h CROSS JOIN LATERAL (
        SELECT k.outbox_id, q.doubt, q.bytes, row_number() OVER (ORDER BY k.outbox_id) AS place,
            coalesce(q.state = 'blocked' AND q.run = h.run AND q.shape = h.shape AND (q.due_at <= clock_timestamp() OR q.unknown), false) AS fits,
            (SELECT count(*) FROM outbox_key own WHERE own.outbox_id = k.outbox_id) AS names
        FROM outbox_key k JOIN outbox_queue q ON q.outbox_id = k.outbox_id
        WHERE k.key = h.key AND k.outbox_id > h.head
        ORDER BY k.outbox_id LIMIT :each + 1) AS b
), together AS (
    SELECT head, run, outbox_id, doubt, min(bytes) AS bytes, bool_and(fits) AND count(*) = min(names) AS fits
    FROM behind GROUP BY head, run, outbox_id, doubt
), cut AS (
    SELECT *, min(outbox_id) FILTER (WHERE NOT fits) OVER (PARTITION BY head) AS first_other FROM together
), unbroken AS (
    SELECT head, run, outbox_id, doubt, sum(bytes) OVER front AS total, row_number() OVER front AS place
    FROM cut WHERE first_other IS NULL OR outbox_id < first_other
    WINDOW front AS (ORDER BY outbox_id)
), chosen AS (
    SELECT head, run, outbox_id, doubt FROM unbroken WHERE total <= :bytes AND place <= :most
), doubts AS MATERIALIZED (
    SELECT head, run, doubt FROM chosen WHERE doubt IS NOT NULL UNION SELECT head, run, doubt FROM heads WHERE doubt IS NOT NULL
)
SELECT head, outbox_id FROM chosen
UNION
SELECT d.head, p.outbox_id
FROM doubts d CROSS JOIN LATERAL (
    SELECT outbox_id FROM outbox_queue WHERE doubt = d.doubt AND run = d.run AND state = 'blocked' AND outbox_id > d.head OFFSET 0) AS p
WHERE NOT EXISTS (
    SELECT FROM (SELECT key FROM outbox_key WHERE outbox_id = p.outbox_id OFFSET 0) AS own
    WHERE NOT EXISTS (SELECT FROM outbox_key h WHERE h.key = own.key AND h.outbox_id = d.head))
ORDER BY outbox_id;

-- name: queue_join
-- Claim rows that share a record with one that was just claimed, and close their keys.
WITH joined AS (
    UPDATE outbox_queue SET state = 'sending', claim = :claim, replica = :replica, claimed_at = clock_timestamp()
    WHERE outbox_id = ANY(:ids) RETURNING outbox_id
)
UPDATE outbox_key k SET busy = true FROM joined j WHERE k.outbox_id = j.outbox_id;

-- name: queue_demote
-- Candidates that turned out to be held back.
UPDATE outbox_queue SET state = 'blocked' WHERE outbox_id = ANY(:ids) AND state = 'ready';

-- name: outbox_sending
-- Mark the claimed rows and return what the call needs.
UPDATE outbox o
SET status = 'sending', attempts = o.attempts + 1, first_sent_at = coalesce(o.first_sent_at, clock_timestamp()),
    next_attempt_at = NULL
FROM outbox_queue q
WHERE q.claim = :claim AND q.state = 'sending' AND o.id = q.outbox_id
RETURNING o.id, o.operation, outbox_lookup(o.lookup_field, o.payload) AS lookup, o.partition_name, o.options - 'on_failure' AS options, o.payload,
    o.attempts, q.unknown, o.on_unknown_outcome, o.if_matches, o.if_unchanged_since, o.first_sent_at,
    CASE WHEN o.attempts > 1 THEN (SELECT count(*) FROM outbox_attempt a WHERE a.outbox_id = o.id AND a.outcome = 'retry') ELSE 0 END
        AS turned_away;

-- name: outbox_leads_by_email
-- Which living leads of the mirror bear these addresses.
SELECT lower(email) AS email, id FROM lead WHERE lower(email) = ANY(:emails) AND _deleted_at IS NULL;

-- name: outbox_leads_buried_by_email
-- Which leads of the mirror bore these addresses when they were deleted, and when that was seen.
SELECT lower(email) AS email, id, _deleted_at AS deleted_at FROM lead
WHERE lower(email) = ANY(:emails) AND _deleted_at IS NOT NULL AND _merged_into_id IS NULL;

-- name: queue_next_due
-- Seconds until the next waiting row is due, below 0 where one is; NULL where nothing waits.
SELECT extract(epoch FROM min(due_at) - clock_timestamp()) FROM outbox_queue WHERE state IN ('waiting', 'closing');

-- name: queue_is_busy
-- Whether a row is being sent or may be sent now; one look at the head of each index.
SELECT coalesce(
    (SELECT true FROM outbox_queue WHERE state = 'new' ORDER BY outbox_id LIMIT 1),
    (SELECT true FROM outbox_queue WHERE state = 'ready' ORDER BY outbox_id LIMIT 1),
    (SELECT true FROM outbox_queue WHERE state = 'sending' ORDER BY claim LIMIT 1),
    (SELECT min(due_at) <= statement_timestamp() FROM outbox_queue WHERE state IN ('waiting', 'closing')),
    false);

-- name: queue_stands_still
-- Whether no row will ever go by itself, since all that are left wait behind one that halts them.
SELECT NOT (EXISTS (SELECT FROM outbox_queue WHERE state = 'new') OR EXISTS (SELECT FROM outbox_queue WHERE state = 'ready')
    OR EXISTS (SELECT FROM outbox_queue WHERE state = 'sending') OR EXISTS (SELECT FROM outbox_queue WHERE state IN ('waiting', 'closing')));

-- name: queue_orphans
-- Rows that a replica was sending by a call when its session ended, or that this living one left in the middle of it, in claims that none of
-- its workers carries; imports have their own rescue.
SELECT o.id, o.operation, outbox_lookup(o.lookup_field, o.payload) AS lookup, o.partition_name, o.options - 'on_failure' AS options, o.payload,
    o.attempts, q.unknown, o.on_unknown_outcome, o.if_matches, o.if_unchanged_since, q.claim, q.run, o.first_sent_at,
    CASE WHEN o.attempts > 1 THEN (SELECT count(*) FROM outbox_attempt a WHERE a.outbox_id = o.id AND a.outcome = 'retry') ELSE 0 END
        AS turned_away
FROM outbox_queue q JOIN outbox o ON o.id = q.outbox_id
WHERE q.state = 'sending' AND NOT EXISTS (SELECT FROM outbox_import i WHERE i.claim = q.claim AND i.finished_at IS NULL)
  AND CASE WHEN CAST(:mine AS bigint) IS NOT NULL
    THEN q.replica = :mine AND q.claim <> ALL(:carried) AND q.claimed_at < clock_timestamp() - :seconds * interval '1 second'
    ELSE NOT EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = CAST(:kind AS oid) AND l.objid = CAST(q.replica AS oid) AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) END
ORDER BY q.claim, o.id;

-- name: queue_held
-- Whether a claim's rows are still being sent by it, and the session lives to which they belong.
SELECT EXISTS (
    SELECT FROM (SELECT DISTINCT replica FROM outbox_queue WHERE claim = :claim AND state = 'sending') AS mine
    JOIN pg_locks l ON l.objid = CAST(mine.replica AS oid)
    WHERE l.locktype = 'advisory' AND l.classid = CAST(:kind AS oid) AND l.objsubid = 2 AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) AS held;

-- name: settle_rows
-- Write down what became of the rows of one claim, and each attempt; rows that are no longer ours are left alone.
WITH told AS (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t (outbox_id bigint, outcome text, status text, lead_id bigint,
        result jsonb, error_code text, error_message text, due_in double precision)
), mine AS (
    SELECT t.*, q.claim, q.replica, q.claimed_at, o.attempts
    FROM told t
    JOIN outbox_queue q ON q.outbox_id = t.outbox_id AND q.claim = :claim AND q.state = 'sending'
    JOIN outbox o ON o.id = t.outbox_id
    ORDER BY q.outbox_id
    FOR UPDATE OF q
), noted AS (
    INSERT INTO outbox_attempt (outbox_id, number, claim, replica, started_at, finished_at, duration_ms, outcome, endpoint,
        request_id, error_code, error_message)
    SELECT outbox_id, attempts, claim, replica, claimed_at, clock_timestamp(), CAST(:duration_ms AS integer), outcome,
        CAST(:endpoint AS text), CAST(:request_id AS text), error_code, error_message
    FROM mine
    WHERE outcome <> 'not_sent'
    ON CONFLICT (outbox_id, number) DO NOTHING
), written AS (
    UPDATE outbox o
    SET status = m.status,
        attempts = o.attempts - (m.outcome = 'not_sent')::integer,
        first_sent_at = CASE WHEN m.outcome = 'not_sent' AND o.attempts = 1 THEN NULL ELSE o.first_sent_at END,
        lead_id = coalesce(m.lead_id, o.lead_id),
        result = coalesce(m.result, o.result),
        error_code = m.error_code,
        error_message = m.error_message,
        request_id = coalesce(CAST(:request_id AS text), o.request_id),
        next_attempt_at = CASE WHEN m.status = 'retrying' THEN clock_timestamp() + m.due_in * interval '1 second' END,
        finished_at = CASE WHEN m.status NOT IN ('pending', 'retrying') THEN now() END
    FROM mine m
    WHERE o.id = m.outbox_id
    RETURNING o.id
)
SELECT array_agg(id ORDER BY id) FROM written;

-- name: queue_keys
-- The keys of some rows.
SELECT DISTINCT key FROM outbox_key WHERE outbox_id = ANY(:ids);

-- name: queue_finish
-- Forget rows that are done, and their keys with them, but for those that halt what is behind them; return the keys that became free,
-- and whether rows are left.
WITH left_over AS MATERIALIZED (
    SELECT id FROM outbox
    WHERE id = ANY(:ids) AND options ->> 'on_failure' = 'halt' AND status IN ('failed', 'conflict', 'uncertain', 'expired')
), freed AS (
    DELETE FROM outbox_key WHERE outbox_id = ANY(:ids) AND outbox_id NOT IN (SELECT id FROM left_over) RETURNING key
), gone AS (
    DELETE FROM outbox_queue WHERE outbox_id = ANY(:ids) AND outbox_id NOT IN (SELECT id FROM left_over)
)
SELECT array_agg(DISTINCT key) AS freed, EXISTS (SELECT FROM left_over) AS are_left FROM freed;

-- name: queue_halt
-- Let rows that ended badly keep their keys, so that no later row passes them, until a person decides.
UPDATE outbox_queue SET state = 'halted', claim = NULL, replica = NULL, claimed_at = NULL, expires_at = NULL
WHERE outbox_id = ANY(:ids);

-- name: queue_halted
-- Which of these rows halt others.
SELECT outbox_id FROM outbox_queue WHERE outbox_id = ANY(:ids) AND state = 'halted';

-- name: queue_drop
-- Forget rows that no longer halt others.
DELETE FROM outbox_queue WHERE outbox_id = ANY(:ids);

-- name: queue_again
-- Take note of when rows will be sent again, and that nobody is sending them.
UPDATE outbox_queue q
SET state = 'blocked', claim = NULL, replica = NULL, claimed_at = NULL, unknown = q.unknown OR t.unknown,
    due_at = clock_timestamp() + t.due_in * interval '1 second'
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t (outbox_id bigint, due_in double precision, unknown boolean)
WHERE q.outbox_id = t.outbox_id;

-- name: queue_reopen
-- Put rows back in line.
UPDATE outbox_queue SET state = 'blocked' WHERE outbox_id = ANY(:ids);

-- name: queue_free
-- Open the keys of rows that are no longer being sent.
UPDATE outbox_key SET busy = false WHERE outbox_id = ANY(:ids) AND busy;

-- name: queue_close
-- Rows whose outcome is not known: their keys stay closed for a while. Rows of one record are due in one moment, so that they go together again.
UPDATE outbox_queue q
SET state = 'closing', claim = NULL, replica = NULL, claimed_at = NULL, unknown = q.unknown OR t.unknown, doubt = q.claim,
    due_at = statement_timestamp() + t.due_in * interval '1 second'
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t (outbox_id bigint, due_in double precision, unknown boolean)
WHERE q.outbox_id = t.outbox_id;

-- name: outbox_counts
-- How many rows stand where, and how old the oldest unfinished one is.
SELECT
    count(*) FILTER (WHERE status IN ('pending', 'retrying', 'sending')) AS waiting,
    count(*) FILTER (WHERE status = 'retrying') AS retrying,
    count(*) FILTER (WHERE status = 'sending') AS sending,
    extract(epoch FROM now() - min(created_at) FILTER (WHERE finished_at IS NULL))::float AS oldest_seconds,
    (SELECT count(*) FROM outbox WHERE status = 'failed') AS failed,
    (SELECT count(*) FROM outbox WHERE status = 'uncertain') AS uncertain,
    (SELECT count(*) FROM outbox WHERE status = 'conflict') AS conflict,
    (SELECT count(*) FROM outbox_queue WHERE state = 'halted') AS halted
FROM outbox WHERE finished_at IS NULL;

-- name: outbox_list
-- Rows for a person, newest first; a lead's rows are those that changed it and those that name it.
SELECT o.id, o.operation, o.status, o.lead_id, o.error_code, o.error_message, o.attempts, o.next_attempt_at, o.created_at,
    o.created_by, o.finished_at
FROM outbox o
WHERE (CAST(:statuses AS text[]) IS NULL OR o.status = ANY(:statuses))
  AND (CAST(:operation AS text) IS NULL OR o.operation = :operation)
  AND (CAST(:error_code AS text) IS NULL OR o.error_code = :error_code)
  AND (CAST(:lead_id AS bigint) IS NULL OR o.lead_id = :lead_id OR o.payload ->> 'id' = CAST(:lead_id AS text)
    OR EXISTS (SELECT FROM outbox_key k WHERE k.outbox_id = o.id AND k.key = 'lead:' || CAST(:lead_id AS text)))
  AND (CAST(:since AS timestamptz) IS NULL OR o.created_at >= :since)
  AND (CAST(:until AS timestamptz) IS NULL OR o.created_at < :until)
  AND (NOT CAST(:halted AS boolean) OR EXISTS (SELECT FROM outbox_queue q WHERE q.outbox_id = o.id AND q.state = 'halted'))
ORDER BY o.id DESC
LIMIT :most;

-- name: outbox_row
-- One row, whole.
SELECT o.*, q.state AS queue_state, q.due_at, q.unknown, outbox_lookup(o.lookup_field, o.payload) AS lookup,
    (SELECT i.batch_id FROM outbox_import i WHERE i.claim = q.claim) AS import_batch
FROM outbox o LEFT JOIN outbox_queue q ON q.outbox_id = o.id
WHERE o.id = :id;

-- name: outbox_attempts
-- The attempts of one row.
SELECT * FROM outbox_attempt WHERE outbox_id = :id ORDER BY number;

-- name: outbox_blockers
-- The earlier unfinished rows that hold a row back.
SELECT DISTINCT other.outbox_id, o.status
FROM outbox_key mine
JOIN outbox_key other ON other.key = mine.key AND other.outbox_id < mine.outbox_id
JOIN outbox o ON o.id = other.outbox_id
WHERE mine.outbox_id = :id
ORDER BY other.outbox_id
LIMIT 5;

-- name: outbox_retry
-- Queue rows again: those that are named and ended badly or wait, or all that failed with a code, in a time, or both.
WITH chosen AS (
    SELECT o.id, o.finished_at IS NOT NULL AS finished FROM outbox o
    WHERE CASE WHEN CAST(:ids AS bigint[]) IS NULL THEN o.status = 'failed'
        ELSE o.id = ANY(:ids) AND (o.status IN ('failed', 'conflict', 'expired', 'cancelled') OR o.status = 'retrying'
            AND EXISTS (SELECT FROM outbox_queue q WHERE q.outbox_id = o.id AND q.state = 'waiting')) END
      AND (CAST(:error_code AS text) IS NULL OR o.error_code = :error_code)
      AND (CAST(:since AS timestamptz) IS NULL OR o.finished_at >= :since)
      AND (CAST(:until AS timestamptz) IS NULL OR o.finished_at < :until)
      AND (o.expires_at IS NULL OR o.expires_at > now())
    FOR UPDATE OF o
), queued AS (
    INSERT INTO outbox_queue (outbox_id) SELECT id FROM chosen WHERE finished
    ON CONFLICT (outbox_id) DO UPDATE SET state = 'new', unknown = false, doubt = NULL
), hurried AS (
    UPDATE outbox_queue q SET due_at = now() FROM chosen c WHERE q.outbox_id = c.id AND NOT c.finished AND q.state = 'waiting'
)
UPDATE outbox o
SET status = CASE WHEN c.finished THEN 'pending' ELSE o.status END, finished_at = NULL,
    next_attempt_at = CASE WHEN c.finished THEN NULL ELSE now() END
FROM chosen c WHERE o.id = c.id
RETURNING o.id;

-- name: outbox_cancel
-- End rows that are not being sent; one that may have taken effect already is not called cancelled, and earlier rows that shared its record
-- end with it: alone they would undo what it may have written.
WITH named AS MATERIALIZED (
    SELECT outbox_id, run, unknown, doubt, state FROM outbox_queue WHERE outbox_id = ANY(:ids) AND state <> 'sending'
), q AS (
    SELECT outbox_id, state, unknown FROM named
    UNION
    SELECT e.outbox_id, e.state, true
    FROM named n CROSS JOIN LATERAL (
        SELECT outbox_id, state FROM outbox_queue WHERE doubt = n.doubt AND run = n.run AND outbox_id < n.outbox_id AND state <> 'sending' OFFSET 0) AS e
)
UPDATE outbox o
SET status = CASE WHEN q.unknown THEN 'uncertain' ELSE 'cancelled' END, finished_at = now(), next_attempt_at = NULL,
    error_message = coalesce(o.error_message, CASE WHEN q.unknown THEN 'it was cancelled while its outcome was not known' END)
FROM q WHERE q.outbox_id = o.id AND o.finished_at IS NULL
RETURNING o.id, q.state = 'closing' AS closing;

-- name: outbox_resolve
-- Write down what a person found out about rows whose outcome is unknown.
UPDATE outbox o
SET status = :status, finished_at = now(), lead_id = coalesce(CAST(:lead_id AS bigint), o.lead_id),
    error_message = CASE WHEN :status = 'succeeded' THEN NULL ELSE coalesce(o.error_message, 'resolved by hand') END,
    result = coalesce(o.result, '{}') || jsonb_build_object('resolved_by', session_user, 'resolved_at', now())
WHERE o.id = ANY(:ids) AND o.status = 'uncertain'
RETURNING o.id;

-- name: outbox_resend
-- Queue rows again whose outcome is unknown, because a person says so.
WITH chosen AS (
    SELECT o.id FROM outbox o WHERE o.id = ANY(:ids) AND o.status = 'uncertain'
      AND NOT EXISTS (SELECT FROM outbox_queue q WHERE q.outbox_id = o.id AND q.state <> 'halted')
    FOR UPDATE OF o
), queued AS (
    INSERT INTO outbox_queue (outbox_id) SELECT id FROM chosen
    ON CONFLICT (outbox_id) DO UPDATE SET state = 'new', unknown = false, doubt = NULL
)
UPDATE outbox o SET status = 'pending', finished_at = NULL FROM chosen c WHERE o.id = c.id RETURNING o.id;

-- name: outbox_prune
-- Forget finished rows of a certain age with their attempts, a step at a time; what a person must still resolve stays.
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox WHERE finished_at < now() - CAST(:days AS integer) * interval '1 day' AND status <> 'uncertain'
      AND NOT EXISTS (SELECT FROM outbox_queue q WHERE q.outbox_id = outbox.id)
    ORDER BY finished_at LIMIT :most);

-- name: outbox_notify
-- Wake the drain.
SELECT pg_notify(:channel, '');
