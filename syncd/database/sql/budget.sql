-- name: call_state
-- What the calls of all replicas leave room for, as of now.
SELECT
    count(*) FILTER (WHERE started_at > clock_timestamp() - interval '20 seconds') AS recent,
    extract(epoch FROM min(started_at) FILTER (WHERE started_at > clock_timestamp() - interval '20 seconds')
        + interval '20 seconds' - clock_timestamp())::float AS recent_frees_in,
    count(*) FILTER (WHERE finished_at IS NULL AND expires_at > clock_timestamp() AND (replica IS NULL OR EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = CAST(:kind AS oid) AND l.objid = CAST(replica AS oid) AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))) AS under_way,
    (SELECT coalesce(sum(calls), 0) FROM api_spending
        WHERE day = (clock_timestamp() AT TIME ZONE 'America/Chicago')::date)::bigint AS today,
    (SELECT extract(epoch FROM p.until - clock_timestamp())::float FROM quota_pause p
        WHERE p.what = 'calls' AND p.until > clock_timestamp()) AS paused_for
FROM api_call;

-- name: call_start
-- Lend one call, and charge it to the day.
WITH day AS (SELECT (clock_timestamp() AT TIME ZONE 'America/Chicago')::date AS today),
charged AS (
    INSERT INTO api_spending (day, lane, endpoint, calls) SELECT today, :lane, :endpoint, 1 FROM day
    ON CONFLICT (day, lane, endpoint) DO UPDATE SET calls = api_spending.calls + 1
)
INSERT INTO api_call (lane, endpoint, day, expires_at, replica)
SELECT :lane, :endpoint, today, clock_timestamp() + :holds_for * interval '1 second', CAST(:replica AS bigint) FROM day
RETURNING id;

-- name: call_end
-- Take a call back.
UPDATE api_call SET finished_at = clock_timestamp() WHERE id = :id RETURNING lane, endpoint, day;

-- name: call_correct
-- Marketo does not charge calls that failed as a whole, and failures are counted.
UPDATE api_spending SET calls = calls - CAST(:uncharged AS integer), errors = errors + 1
WHERE day = :day AND lane = :lane AND endpoint = :endpoint;

-- name: call_prune
-- Forget calls that no longer count.
DELETE FROM api_call
WHERE started_at < clock_timestamp() - interval '1 minute' AND (finished_at IS NOT NULL OR expires_at < clock_timestamp());

-- name: usage_today
-- Spending of Marketo's present day.
SELECT lane, endpoint, calls, errors FROM api_spending
WHERE day = (now() AT TIME ZONE 'America/Chicago')::date ORDER BY lane, endpoint;

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
