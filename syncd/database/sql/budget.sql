-- name: ledger_books
-- What each lane has in the rate, under way and today, and who waits, as of now; one row a lane.
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS now, (clock_timestamp() AT TIME ZONE 'America/Chicago')::date AS today),
calls AS (
    SELECT lane, count(*) FILTER (WHERE charged AND counts_until > now) AS recent,
        min(counts_until - now) FILTER (WHERE charged AND counts_until > now) AS frees_in,
        count(*) FILTER (WHERE charged AND counts_until > now AND lent) AS lent,
        count(*) FILTER (WHERE finished_at IS NULL AND expires_at > now) AS under_way,
        min(now - started_at) FILTER (WHERE lent) AS since_lent
    FROM (
        -- Marketo counts a call when it arrives: no later than its end, and within the time to connect.
        SELECT *, least(coalesce(finished_at, 'infinity'), started_at + interval '10 seconds') + interval '20 seconds' AS counts_until
        FROM api_call
    ) AS c, moment
    GROUP BY lane
),
spent AS (SELECT lane, sum(calls) AS today FROM api_spending u, moment WHERE u.day = moment.today GROUP BY lane),
mine AS (SELECT since FROM api_wait, moment WHERE waiter = :waiter AND lane = CAST(:lane AS text) AND until > now),
waits AS (
    -- Of another lane all callers count; of one's own lane who came first in each of the other processes.
    SELECT lane, sum(CASE WHEN lane <> CAST(:lane AS text) THEN callers
        WHEN waiter <> :waiter AND since < coalesce((SELECT since FROM mine), 'infinity') THEN 1 ELSE 0 END) AS waiting
    FROM api_wait, moment WHERE until > now GROUP BY lane
)
SELECT l.lane, coalesce(c.recent, 0) AS recent, coalesce(c.lent, 0) AS lent, coalesce(c.under_way, 0) AS under_way,
    coalesce(s.today, 0)::bigint AS today,
    coalesce(w.waiting, 0)::integer AS waiting, extract(epoch FROM c.frees_in)::float AS frees_in,
    extract(epoch FROM c.since_lent)::float AS since_lent, moment.now,
    (SELECT extract(epoch FROM p.until - moment.now)::float FROM quota_pause p WHERE p.what = 'calls' AND p.until > moment.now) AS paused_for,
    (SELECT extract(epoch FROM p.until - moment.now)::float FROM quota_pause p WHERE p.what = 'rate' AND p.until > moment.now) AS hold_for,
    (SELECT q.others FROM quota_seen q WHERE q.day = moment.today) AS others
FROM moment CROSS JOIN unnest(CAST(:lanes AS text[])) AS l (lane)
LEFT JOIN calls c USING (lane) LEFT JOIN spent s USING (lane) LEFT JOIN waits w USING (lane);

-- name: call_start
-- Lend one call, charge it to the day, and forget calls that no longer count.
WITH day AS (SELECT (clock_timestamp() AT TIME ZONE 'America/Chicago')::date AS today),
charged AS (
    INSERT INTO api_spending (day, lane, feed, endpoint, calls) SELECT today, :lane, :feed, :endpoint, 1 FROM day
    ON CONFLICT (day, lane, feed, endpoint) DO UPDATE SET calls = api_spending.calls + 1
),
pace AS (
    INSERT INTO api_pace (lane, slot, calls) VALUES (:lane, date_bin('10 minutes', clock_timestamp(), 'epoch'), 1)
    ON CONFLICT (lane, slot) DO UPDATE SET calls = api_pace.calls + 1
),
served AS (DELETE FROM api_wait WHERE (waiter = :waiter AND lane = :lane) OR until < clock_timestamp() - interval '1 minute'),
forgotten AS (
    DELETE FROM api_call
    WHERE started_at < clock_timestamp() - interval '1 minute'
      AND (finished_at < clock_timestamp() - interval '20 seconds' OR (finished_at IS NULL AND expires_at < clock_timestamp()))
)
INSERT INTO api_call (lane, feed, endpoint, day, expires_at, replica, lent)
SELECT :lane, :feed, :endpoint, today, clock_timestamp() + :holds_for * interval '1 second', CAST(:replica AS bigint), :lent FROM day
RETURNING id;

-- name: call_wait
-- Somebody waits for a call, so that no less urgent lane takes it.
INSERT INTO api_wait (waiter, lane, callers, until)
VALUES (:waiter, :lane, :callers, clock_timestamp() + :seconds * interval '1 second')
ON CONFLICT (waiter, lane) DO UPDATE SET callers = EXCLUDED.callers, until = EXCLUDED.until,
    since = CASE WHEN api_wait.until < clock_timestamp() THEN clock_timestamp() ELSE api_wait.since END;

-- name: call_wait_no_more
-- Nobody waits any more.
DELETE FROM api_wait WHERE waiter = :waiter AND lane = :lane;

-- name: call_end
-- Take a call back. Marketo does not charge calls that failed as a whole; failures are counted.
WITH ended AS (
    UPDATE api_call SET finished_at = clock_timestamp(), charged = :charged
    WHERE id = :id AND finished_at IS NULL RETURNING lane, feed, endpoint, day
)
UPDATE api_spending u SET calls = calls - (NOT :charged)::integer, errors = errors + CAST(:failed AS boolean)::integer
FROM ended e WHERE (NOT :charged OR :failed) AND u.day = e.day AND u.lane = e.lane AND u.feed = e.feed AND u.endpoint = e.endpoint;

-- name: calls_of_the_dead
-- Calls of replicas whose session has ended are soon over in Marketo too.
UPDATE api_call c SET expires_at = clock_timestamp()
WHERE c.finished_at IS NULL AND c.expires_at > clock_timestamp() AND c.replica IS NOT NULL
  AND c.started_at < clock_timestamp() - :seconds * interval '1 second'
  AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = CAST(:kind AS oid)
    AND l.objid = CAST(c.replica AS oid) AND l.objsubid = 2 AND l.granted
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()));

-- name: call_prune
-- Forget calls that no longer count.
DELETE FROM api_call
WHERE started_at < clock_timestamp() - interval '1 minute' AND (finished_at IS NOT NULL OR expires_at < clock_timestamp());

-- name: pace_prune
-- Forget old paces.
DELETE FROM api_pace WHERE slot < now() - interval '2 days';

-- name: hold_put
-- Marketo wants nobody to call for a moment.
INSERT INTO quota_pause (what, until, reason) VALUES ('rate', clock_timestamp() + :seconds * interval '1 second', :reason)
ON CONFLICT (what) DO UPDATE SET until = greatest(quota_pause.until, EXCLUDED.until), reason = EXCLUDED.reason;

-- name: usage_today
-- Spending of Marketo's present day.
SELECT lane, feed, endpoint, calls, errors FROM api_spending
WHERE day = (now() AT TIME ZONE 'America/Chicago')::date ORDER BY lane, feed, endpoint;

-- name: export_state
-- What the bulk exports of all replicas leave room for, as of now.
SELECT
    (SELECT count(*) FROM export_job WHERE ended_at IS NULL AND expires_at > clock_timestamp() AND (replica IS NULL OR EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = CAST(:kind AS oid) AND l.objid = CAST(replica AS oid) AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))) AS under_way,
    (SELECT coalesce(sum(bytes), 0) FROM export_job
        WHERE day = (clock_timestamp() AT TIME ZONE 'America/Chicago')::date)::bigint AS today,
    (SELECT extract(epoch FROM p.until - clock_timestamp())::float FROM quota_pause p
        WHERE p.what = 'export' AND p.until > clock_timestamp()) AS paused_for;

-- name: export_begin
-- Lend one of the places for exports.
INSERT INTO export_job (lane, expires_at, replica)
VALUES (:lane, clock_timestamp() + :seconds * interval '1 second', CAST(:replica AS bigint)) RETURNING id;

-- name: export_known
-- The job of a place got its id.
UPDATE export_job SET export_id = :export_id WHERE id = :id;

-- name: export_drop
-- No job came of a place.
DELETE FROM export_job WHERE id = :id;

-- name: export_seen
-- Somebody looks after a job: it keeps its place, or it has ended, and its volume counts to the day. Known ends stay as they are.
INSERT INTO export_job AS e (export_id, lane, expires_at, ended_at, day, bytes, replica)
SELECT :export_id, :lane, clock_timestamp() + :seconds * interval '1 second', CASE WHEN o.ended THEN clock_timestamp() END,
    CASE WHEN o.ended THEN (clock_timestamp() AT TIME ZONE 'America/Chicago')::date END, CAST(:bytes AS bigint), CAST(:replica AS bigint)
FROM (SELECT CAST(:ended AS boolean) AS ended) AS o
ON CONFLICT (export_id) DO UPDATE SET expires_at = EXCLUDED.expires_at, ended_at = EXCLUDED.ended_at, day = EXCLUDED.day,
    bytes = EXCLUDED.bytes, replica = EXCLUDED.replica
WHERE e.ended_at IS NULL;

-- name: export_prune
-- Forget exports that no longer count.
DELETE FROM export_job WHERE started_at < now() - interval '30 days';
-- name: usage_seen
-- What Marketo itself counted of its present day, and the calls of others among them.
INSERT INTO quota_seen (day, total, ours, others)
SELECT CAST(:day AS date), CAST(:total AS bigint), s.ours, greatest(0, :total - s.ours, :total - CAST(:own_user AS bigint))
FROM (SELECT coalesce(sum(calls), 0)::bigint AS ours FROM api_spending WHERE day = CAST(:day AS date)) AS s
ON CONFLICT (day) DO UPDATE SET total = EXCLUDED.total, ours = EXCLUDED.ours, seen_at = clock_timestamp(),
    others = greatest(quota_seen.others, EXCLUDED.others)
RETURNING others;

-- name: usage_seen_today
-- The last look at Marketo's own count of its present day.
SELECT seen_at, total, ours, others FROM quota_seen WHERE day = (now() AT TIME ZONE 'America/Chicago')::date;

-- name: pace_lately
-- Calls of each lane in the last hour, and how many seconds of it had any.
SELECT lane, sum(calls)::bigint AS calls, extract(epoch FROM now() - min(slot))::float AS seconds
FROM api_pace WHERE slot > now() - interval '1 hour' GROUP BY lane;
