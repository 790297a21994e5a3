-- name: campaign_mark
-- Leads whose smart campaigns are to be read soon; a retired lead has none.
INSERT INTO campaign_read AS c (lead_id, mark)
SELECT i.lead_id, nextval('dirty_mark') FROM (SELECT DISTINCT lead_id FROM unnest(CAST(:ids AS bigint[])) AS m (lead_id)) AS i
WHERE NOT EXISTS (SELECT FROM lead l WHERE l.id = i.lead_id AND l._deleted_at IS NOT NULL)
ORDER BY i.lead_id
ON CONFLICT (lead_id) DO UPDATE SET mark = EXCLUDED.mark;

-- name: campaign_enter
-- Leads that may be new to the mirror: their turn comes.
INSERT INTO campaign_read (lead_id)
SELECT DISTINCT lead_id FROM unnest(CAST(:ids AS bigint[])) AS m (lead_id) ORDER BY lead_id
ON CONFLICT DO NOTHING;

-- name: campaign_walk_get
-- Below which id leads of bulk files are not entered yet; NULL where the walk has to start (again).
SELECT b.stand, (SELECT w.below FROM campaign_walk w WHERE w.stand = b.stand) AS below
FROM (SELECT concat_ws('/', max(id), count(*) FILTER (WHERE state = 'done'), max(finished_at)) AS stand FROM backfill_window) AS b;

-- name: campaign_walk_on
-- Enter some leads, from the highest id down; the lowest id, how many were looked at, and how many of them are new.
WITH slice AS (
    SELECT l.id FROM lead l WHERE l.id < :below AND l._deleted_at IS NULL ORDER BY l.id DESC LIMIT :most
), entered AS (
    INSERT INTO campaign_read (lead_id) SELECT id FROM slice ORDER BY id ON CONFLICT DO NOTHING RETURNING 1
)
SELECT min(id) AS lowest, count(*) AS leads, (SELECT count(*) FROM entered) AS entered FROM slice;

-- name: campaign_walk_put
-- How far the walk is.
INSERT INTO campaign_walk (below, stand) VALUES (:below, :stand)
ON CONFLICT (one) DO UPDATE SET below = EXCLUDED.below, stand = EXCLUDED.stand;

-- name: campaign_never
-- How many of the entered leads were never read; counted no further than needed.
SELECT count(*) FROM (SELECT FROM campaign_read WHERE mark IS NULL AND read_at = '-infinity' LIMIT :most) AS n;

-- name: campaign_next_changed
-- Leads that changed since they were read, the longest waiting first.
SELECT lead_id, mark FROM campaign_read WHERE mark IS NOT NULL ORDER BY mark LIMIT :most;

-- name: campaign_next_old
-- Leads that were never read, the newest first, then those whose reading is the oldest.
SELECT lead_id, mark FROM campaign_read WHERE mark IS NULL AND read_at < :before
ORDER BY read_at, lead_id DESC LIMIT :most;

-- name: campaign_marks
-- The marks of some leads.
SELECT lead_id, mark FROM campaign_read WHERE lead_id = ANY(:ids) ORDER BY lead_id;

-- name: campaign_changed
-- Whether a lead waits that changed since it was read.
SELECT EXISTS (SELECT FROM campaign_read WHERE mark IS NOT NULL);

-- name: campaign_old
-- Whether a lead waits that was not read since.
SELECT coalesce(min(read_at) < :before, false) FROM campaign_read WHERE mark IS NULL;

-- name: campaign_calls
-- Calls of the day so far, and the share of Marketo's day that is over.
SELECT (SELECT coalesce(sum(calls), 0) FROM api_spending
        WHERE day = local::date AND lane = 'memberships' AND endpoint = :endpoint)::bigint AS calls,
    (extract(epoch FROM local - date_trunc('day', local)) / 86400)::float AS day_over
FROM (SELECT clock_timestamp() AT TIME ZONE 'America/Chicago' AS local) AS t;

-- name: campaign_put
-- Write what was read of one lead, unless it was marked again, or retired, since it was chosen.
WITH ours AS (
    UPDATE campaign_read SET read_at = now(), mark = NULL
    WHERE lead_id = :lead AND mark IS NOT DISTINCT FROM CAST(:mark AS bigint) RETURNING lead_id
), found AS (
    SELECT DISTINCT ON (smart_campaign_id) smart_campaign_id, o.lead_id, created_at, updated_at
    FROM ours o CROSS JOIN jsonb_to_recordset(CAST(:members AS jsonb)) AS t (smart_campaign_id bigint, created_at timestamptz,
        updated_at timestamptz)
    ORDER BY smart_campaign_id
), gone AS (
    DELETE FROM campaign_membership m USING ours o
    WHERE m.lead_id = o.lead_id AND NOT EXISTS (SELECT FROM found f WHERE f.smart_campaign_id = m.smart_campaign_id)
    RETURNING 1
), put AS (
    INSERT INTO campaign_membership AS m (smart_campaign_id, lead_id, created_at, updated_at)
    SELECT smart_campaign_id, lead_id, created_at, updated_at FROM found
    ON CONFLICT (smart_campaign_id, lead_id) DO UPDATE SET created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at
    WHERE (m.created_at, m.updated_at) IS DISTINCT FROM (EXCLUDED.created_at, EXCLUDED.updated_at)
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM put) AS changed;

-- name: campaign_turns_of_retired
-- A retired lead is not read again; the winner of a merge is. Before the memberships, so that a reading under way finds out.
WITH retired AS (
    SELECT id, merged_into FROM jsonb_to_recordset(CAST(:leads AS jsonb)) AS t (id bigint, merged_into bigint)
), gone AS (
    DELETE FROM campaign_read c USING retired r WHERE c.lead_id = r.id
)
INSERT INTO campaign_read AS c (lead_id, mark)
SELECT w.id, nextval('dirty_mark') FROM (SELECT DISTINCT merged_into AS id FROM retired WHERE merged_into IS NOT NULL) AS w
WHERE NOT EXISTS (SELECT FROM retired r WHERE r.id = w.id)
ORDER BY w.id
ON CONFLICT (lead_id) DO UPDATE SET mark = EXCLUDED.mark;

-- name: campaign_members_of_retired
-- Memberships end with their lead.
DELETE FROM campaign_membership m
USING jsonb_to_recordset(CAST(:leads AS jsonb)) AS r (id bigint, merged_into bigint)
WHERE m.lead_id = r.id AND r.merged_into IS NULL;

-- name: campaign_members_merged
-- The winner went through every campaign that a loser went through.
WITH merged AS (
    SELECT id, merged_into FROM jsonb_to_recordset(CAST(:leads AS jsonb)) AS t (id bigint, merged_into bigint) WHERE merged_into IS NOT NULL
), moved AS (
    DELETE FROM campaign_membership m USING merged g WHERE m.lead_id = g.id
    RETURNING m.smart_campaign_id, g.merged_into, m.created_at, m.updated_at
)
INSERT INTO campaign_membership (smart_campaign_id, lead_id, created_at, updated_at)
SELECT DISTINCT ON (smart_campaign_id, merged_into) smart_campaign_id, merged_into, created_at, updated_at FROM moved
ORDER BY smart_campaign_id, merged_into, created_at
ON CONFLICT DO NOTHING;

-- name: retired_resolved
-- The leads that were just retired, each with the last winner of its merges.
SELECT t.id, l._merged_into_id AS merged_into
FROM jsonb_to_recordset(CAST(:leads AS jsonb)) AS t (id bigint, merged_into bigint) JOIN lead l ON l.id = t.id
GROUP BY t.id, l._merged_into_id ORDER BY t.id;

-- name: campaign_coverage
-- How many leads were read, the oldest reading, and how many wait because they changed since.
SELECT count(*) FILTER (WHERE read_at > '-infinity') AS leads_read, count(*) FILTER (WHERE mark IS NOT NULL) AS changed_since,
    min(read_at) FILTER (WHERE read_at > '-infinity') AS oldest_read_at,
    (SELECT count(*) FROM campaign_membership) AS memberships
FROM campaign_read;

-- name: campaign_sample
-- Some leads that were read and have not changed since, evenly spread over all ids.
SELECT DISTINCT s.lead_id, s.read_at
FROM (SELECT min(lead_id) AS low, max(lead_id) AS high FROM campaign_read) AS r
CROSS JOIN generate_series(0, CAST(:most AS integer) - 1) AS n
CROSS JOIN LATERAL (
    SELECT c.lead_id, c.read_at FROM campaign_read c
    WHERE c.lead_id >= r.low + floor((r.high - r.low + 1) * (n + CAST(:offset AS float)) / :most)::bigint
      AND c.mark IS NULL AND c.read_at > '-infinity'
    ORDER BY c.lead_id LIMIT 1) AS s
ORDER BY s.lead_id;

-- name: campaign_differences
-- What differs between the mirror and a fresh reading of a lead. What moved after the mirror read it is stale, no difference.
SELECT coalesce(m.smart_campaign_id, f.smart_campaign_id) AS smart_campaign_id, m.lead_id IS NULL AS missing,
    f.smart_campaign_id IS NULL AS extra, coalesce(f.updated_at > :read_at, false) AS stale,
    array_remove(ARRAY[CASE WHEN m.created_at IS DISTINCT FROM f.created_at THEN 'created_at' END,
        CASE WHEN m.updated_at IS DISTINCT FROM f.updated_at THEN 'updated_at' END], NULL) AS fields
FROM (SELECT * FROM campaign_membership WHERE lead_id = :lead) AS m
FULL JOIN (SELECT DISTINCT ON (smart_campaign_id) * FROM jsonb_to_recordset(CAST(:members AS jsonb))
        AS t (smart_campaign_id bigint, created_at timestamptz, updated_at timestamptz) ORDER BY smart_campaign_id) AS f
    ON f.smart_campaign_id = m.smart_campaign_id
WHERE m.lead_id IS NULL OR f.smart_campaign_id IS NULL OR (m.created_at, m.updated_at) IS DISTINCT FROM (f.created_at, f.updated_at)
ORDER BY 1;
