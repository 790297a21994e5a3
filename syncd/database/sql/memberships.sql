-- name: sweep_next
-- Number of the next sweep.
SELECT nextval('sweep_number');

-- name: sweep_due_lists
-- Lists whose members were never read, or too long ago; the oldest first.
SELECT l.id FROM static_list l LEFT JOIN sweep s ON s.kind = 'list' AND s.container_id = l.id
WHERE l._removed_at IS NULL AND (s.swept_at IS NULL OR s.swept_at < now() - :seconds * interval '1 second')
ORDER BY s.swept_at NULLS FIRST, l.id;

-- name: sweep_due_programs
-- Programs whose members were never read, or too long ago; the oldest first.
SELECT p.id FROM program p LEFT JOIN sweep s ON s.kind = 'program' AND s.container_id = p.id
WHERE p._removed_at IS NULL AND (s.swept_at IS NULL OR s.swept_at < now() - :seconds * interval '1 second')
ORDER BY s.swept_at NULLS FIRST, p.id;

-- name: swept_add
-- Keep a page of a sweep. Where the type of a status is not told, its channel tells it.
INSERT INTO swept_member (sweep, owner, lead_id, status, status_type, acquired_by, reached_success, is_exhausted, stream, nurture_cadence,
    membership_date, updated_at, reached_success_at, custom)
SELECT :sweep, :owner, lead_id, t.status, coalesce(t.status_type, c.type, CASE WHEN custom IS NOT NULL THEN t.status END), acquired_by, reached_success, is_exhausted, stream, nurture_cadence,
    membership_date, t.updated_at, reached_success_at, custom
FROM jsonb_to_recordset(CAST(:members AS jsonb)) AS t (lead_id bigint, status text, status_type text, acquired_by boolean,
    reached_success boolean, is_exhausted boolean, stream text, nurture_cadence text, membership_date timestamptz,
    updated_at timestamptz, reached_success_at timestamptz, custom jsonb)
LEFT JOIN program p ON p.id = CAST(:program AS bigint)
LEFT JOIN channel_status c ON c.channel = p.channel AND c.status = t.status;

-- name: swept_forget
-- A sweep is over.
DELETE FROM swept_member WHERE sweep = :sweep;

-- name: swept_count
-- How many members a sweep has kept.
SELECT count(*) FROM swept_member WHERE sweep = :sweep;

-- name: swept_left_over
-- Clear away what a run of a feed left when its process died; only under the feed's lock.
DELETE FROM swept_member WHERE owner = :owner;

-- name: sweep_done
-- Note that a list's or program's members were read one and all, and where the log stood before.
INSERT INTO sweep (kind, container_id, members, reached_at)
SELECT :kind, :container, count(DISTINCT lead_id), CAST(:reached_at AS timestamptz) FROM swept_member WHERE sweep = :sweep
ON CONFLICT (kind, container_id) DO UPDATE SET swept_at = now(), members = EXCLUDED.members, reached_at = EXCLUDED.reached_at;

-- name: list_swap_out
-- Who is no longer on the list.
WITH gone AS (
    DELETE FROM list_membership m WHERE m.list_id = :container
      AND NOT EXISTS (SELECT FROM swept_member s WHERE s.sweep = :sweep AND s.lead_id = m.lead_id)
    RETURNING m.lead_id
)
INSERT INTO ended_member AS e (kind, container_id, lead_id, ended_at)
SELECT 'list', :container, lead_id, CAST(:reached_at AS timestamptz) - interval '1 microsecond' FROM gone
ON CONFLICT (kind, container_id, lead_id) DO UPDATE SET ended_at = greatest(e.ended_at, EXCLUDED.ended_at), noted_at = now();

-- name: list_swap_in
-- Who is on the list since.
INSERT INTO list_membership (list_id, lead_id)
SELECT DISTINCT CAST(:container AS bigint), lead_id FROM swept_member WHERE sweep = :sweep
ON CONFLICT DO NOTHING;

-- name: program_swap_out
-- Who is no longer a member of the program.
WITH gone AS (
    DELETE FROM program_membership m WHERE m.program_id = :container
      AND NOT EXISTS (SELECT FROM swept_member s WHERE s.sweep = :sweep AND s.lead_id = m.lead_id)
    RETURNING m.lead_id
)
INSERT INTO ended_member AS e (kind, container_id, lead_id, ended_at)
SELECT 'program', :container, lead_id, CAST(:reached_at AS timestamptz) - interval '1 microsecond' FROM gone
ON CONFLICT (kind, container_id, lead_id) DO UPDATE SET ended_at = greatest(e.ended_at, EXCLUDED.ended_at), noted_at = now();

-- name: program_swap_in
-- Members as the sweep found them; only what differs. A sweep that could not ask for all fields leaves those as they are.
INSERT INTO program_membership AS m (program_id, lead_id, status, status_type, acquired_by, reached_success, is_exhausted, stream,
    nurture_cadence, membership_date, updated_at, reached_success_at, custom)
SELECT DISTINCT ON (lead_id) CAST(:container AS bigint), lead_id, status, status_type, acquired_by, reached_success, is_exhausted,
    stream, nurture_cadence, membership_date, updated_at, reached_success_at, custom
FROM swept_member WHERE sweep = :sweep ORDER BY lead_id
ON CONFLICT (program_id, lead_id) DO UPDATE SET status = EXCLUDED.status, status_type = EXCLUDED.status_type,
    acquired_by = EXCLUDED.acquired_by, reached_success = EXCLUDED.reached_success, is_exhausted = EXCLUDED.is_exhausted,
    stream = EXCLUDED.stream, nurture_cadence = EXCLUDED.nurture_cadence, membership_date = EXCLUDED.membership_date,
    updated_at = EXCLUDED.updated_at,
    reached_success_at = CASE WHEN EXCLUDED.custom IS NULL THEN m.reached_success_at ELSE EXCLUDED.reached_success_at END,
    custom = coalesce(EXCLUDED.custom, m.custom)
WHERE (m.status, m.status_type, m.acquired_by, m.reached_success, m.is_exhausted, m.stream, m.nurture_cadence, m.membership_date,
        m.updated_at)
    IS DISTINCT FROM (EXCLUDED.status, EXCLUDED.status_type, EXCLUDED.acquired_by, EXCLUDED.reached_success, EXCLUDED.is_exhausted,
        EXCLUDED.stream, EXCLUDED.nurture_cadence, EXCLUDED.membership_date, EXCLUDED.updated_at)
   OR EXCLUDED.custom IS NOT NULL
    AND (m.reached_success_at, m.custom) IS DISTINCT FROM (EXCLUDED.reached_success_at, EXCLUDED.custom);

-- name: members_without_fields
-- Members whose further fields were never read: they are read 300 a call.
INSERT INTO dirty_member (program_id, lead_id)
SELECT program_id, lead_id FROM program_membership WHERE program_id = :container AND custom IS NULL ORDER BY lead_id
ON CONFLICT DO NOTHING;

-- name: member_fields
-- The fields that members of programs have in Marketo.
SELECT name FROM program_member_field WHERE _removed_at IS NULL ORDER BY name;

-- name: swept_unknown_leads
-- Members whose lead the mirror does not hold.
SELECT DISTINCT s.lead_id FROM swept_member s
WHERE s.sweep = :sweep AND NOT EXISTS (SELECT FROM lead l WHERE l.id = s.lead_id AND l._deleted_at IS NULL);

-- name: list_differences
-- Leads whose membership of a list differs from what a sweep found.
SELECT coalesce(m.lead_id, s.lead_id) AS lead_id, m.lead_id IS NULL AS missing, s.lead_id IS NULL AS extra, ARRAY[]::text[] AS fields,
    NULL::jsonb AS ours, NULL::jsonb AS theirs
FROM (SELECT lead_id FROM list_membership WHERE list_id = :container) AS m
FULL JOIN (SELECT DISTINCT lead_id FROM swept_member WHERE sweep = :sweep) AS s ON s.lead_id = m.lead_id
WHERE m.lead_id IS NULL OR s.lead_id IS NULL
ORDER BY 1;

-- name: program_differences
-- Leads whose membership of a program differs from what a sweep found.
SELECT coalesce(m.lead_id, s.lead_id) AS lead_id, m.lead_id IS NULL AS missing, s.lead_id IS NULL AS extra,
    array_remove(ARRAY[
        CASE WHEN m.status IS DISTINCT FROM s.status THEN 'status' END,
        CASE WHEN m.status_type IS DISTINCT FROM s.status_type THEN 'status_type' END,
        CASE WHEN m.acquired_by IS DISTINCT FROM s.acquired_by THEN 'acquired_by' END,
        CASE WHEN m.reached_success IS DISTINCT FROM s.reached_success THEN 'reached_success' END,
        CASE WHEN m.is_exhausted IS DISTINCT FROM s.is_exhausted THEN 'is_exhausted' END,
        CASE WHEN m.stream IS DISTINCT FROM s.stream THEN 'stream' END,
        CASE WHEN m.nurture_cadence IS DISTINCT FROM s.nurture_cadence THEN 'nurture_cadence' END,
        CASE WHEN m.membership_date IS DISTINCT FROM s.membership_date THEN 'membership_date' END,
        CASE WHEN m.updated_at IS DISTINCT FROM s.updated_at THEN 'updated_at' END,
        CASE WHEN s.custom IS NOT NULL AND m.reached_success_at IS DISTINCT FROM s.reached_success_at THEN 'reached_success_at' END,
        CASE WHEN s.custom IS NOT NULL AND m.custom IS DISTINCT FROM s.custom THEN 'custom' END], NULL) AS fields,
    to_jsonb(m) AS ours, to_jsonb(s) AS theirs
FROM (SELECT * FROM program_membership WHERE program_id = :container) AS m
FULL JOIN (SELECT DISTINCT ON (lead_id) * FROM swept_member WHERE sweep = :sweep ORDER BY lead_id) AS s ON s.lead_id = m.lead_id
WHERE m.lead_id IS NULL OR s.lead_id IS NULL
   OR (m.status, m.status_type, m.acquired_by, m.reached_success, m.is_exhausted, m.stream, m.nurture_cadence, m.membership_date, m.updated_at)
    IS DISTINCT FROM (s.status, s.status_type, s.acquired_by, s.reached_success, s.is_exhausted, s.stream, s.nurture_cadence,
        s.membership_date, s.updated_at)
   OR s.custom IS NOT NULL AND (m.reached_success_at, m.custom) IS DISTINCT FROM (s.reached_success_at, s.custom)
ORDER BY 1;

-- name: list_events
-- Additions to and removals from lists, in the order of the log; what the log leaves open is marked to be asked.
WITH told AS (
    SELECT e.place, e.list_id, coalesce(l._merged_into_id, e.lead_id) AS lead_id, e.added, e.at, l._merged_into_id IS NOT NULL AS moved
    FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS e (place integer, list_id bigint, lead_id bigint, added boolean, at timestamptz)
    LEFT JOIN lead l ON l.id = e.lead_id
), last AS (
    SELECT DISTINCT ON (list_id, lead_id) list_id, lead_id, added, at,
        bool_or(moved) OVER pair OR at < max(at) OVER pair AS odd,
        max(at) FILTER (WHERE NOT added) OVER pair AS removed_at
    FROM told WINDOW pair AS (PARTITION BY list_id, lead_id)
    ORDER BY list_id, lead_id, place DESC
), judged AS (
    SELECT t.*, t.odd OR d.lead_id IS NOT NULL OR t.added <> (m.lead_id IS NOT NULL) AND (
            -- It tells late what a sweep or a newer event showed otherwise.
            coalesce(t.at < s.reached_at, false)
            OR t.added AND coalesce(e.ended_at >= t.at, false)
            OR NOT t.added AND coalesce(m.updated_at >= t.at, false)
            -- It may be the removal of a loser: the log names the winner for all that the losers did.
            OR NOT t.added AND EXISTS (SELECT FROM lead o WHERE o._merged_into_id = t.lead_id
                AND o._deleted_at > t.at - interval '5 minutes')) AS doubtful
    FROM last t
    LEFT JOIN list_membership m ON m.list_id = t.list_id AND m.lead_id = t.lead_id
    LEFT JOIN dirty_list_member d ON d.list_id = t.list_id AND d.lead_id = t.lead_id
    LEFT JOIN ended_member e ON e.kind = 'list' AND e.container_id = t.list_id AND e.lead_id = t.lead_id
    LEFT JOIN sweep s ON s.kind = 'list' AND s.container_id = t.list_id
), gone AS (
    DELETE FROM list_membership m USING judged j
    WHERE NOT j.added AND NOT j.doubtful AND m.list_id = j.list_id AND m.lead_id = j.lead_id
), put AS (
    INSERT INTO list_membership AS m (list_id, lead_id, created_at, updated_at)
    SELECT list_id, lead_id, at, at FROM judged WHERE added AND NOT doubtful ORDER BY list_id, lead_id
    -- That it was added once more tells a removal of the same second, told later, from one that is news.
    ON CONFLICT (list_id, lead_id) DO UPDATE SET updated_at = EXCLUDED.updated_at
    WHERE m.updated_at IS NULL OR m.updated_at < EXCLUDED.updated_at
), noted AS (
    INSERT INTO ended_member AS e (kind, container_id, lead_id, ended_at)
    SELECT 'list', list_id, lead_id, removed_at FROM judged WHERE removed_at IS NOT NULL ORDER BY list_id, lead_id
    ON CONFLICT (kind, container_id, lead_id) DO UPDATE SET ended_at = greatest(e.ended_at, EXCLUDED.ended_at), noted_at = now()
)
INSERT INTO dirty_list_member (list_id, lead_id)
SELECT list_id, lead_id FROM judged WHERE doubtful ORDER BY list_id, lead_id
ON CONFLICT (list_id, lead_id) DO UPDATE SET mark = nextval('dirty_mark');

-- name: list_members_next
-- Leads of which it is open whether they are on the first list with a higher id, as many as a call takes.
SELECT list_id, lead_id, mark FROM dirty_list_member
WHERE list_id = (SELECT list_id FROM dirty_list_member WHERE list_id > :above ORDER BY list_id LIMIT 1)
ORDER BY lead_id LIMIT :most;

-- name: list_members_answered
-- What Marketo said of some leads and a list, unless they were marked again since.
WITH ours AS (
    DELETE FROM dirty_list_member d USING unnest(CAST(:ids AS bigint[]), CAST(:marks AS bigint[])) AS r (lead_id, mark)
    WHERE d.list_id = :container AND d.lead_id = r.lead_id AND d.mark = r.mark
    RETURNING d.lead_id
), gone AS (
    DELETE FROM list_membership m USING ours o
    WHERE m.list_id = :container AND m.lead_id = o.lead_id AND NOT m.lead_id = ANY(CAST(:members AS bigint[]))
)
INSERT INTO list_membership (list_id, lead_id)
SELECT :container, lead_id FROM ours WHERE lead_id = ANY(CAST(:members AS bigint[])) ORDER BY lead_id
ON CONFLICT DO NOTHING;

-- name: members_dirty
-- Mark program memberships whose row may be old.
INSERT INTO dirty_member (program_id, lead_id)
SELECT DISTINCT program_id, lead_id FROM jsonb_to_recordset(CAST(:members AS jsonb)) AS m (program_id bigint, lead_id bigint)
ORDER BY program_id, lead_id
ON CONFLICT (program_id, lead_id) DO UPDATE SET mark = nextval('dirty_mark');

-- name: members_next
-- Dirty memberships of the first program with a higher id, as many as a call takes.
SELECT program_id, lead_id, mark FROM dirty_member
WHERE program_id = (SELECT program_id FROM dirty_member WHERE program_id > :above ORDER BY program_id LIMIT 1)
ORDER BY lead_id LIMIT :most;

-- name: members_count
-- How many memberships of programs and lists are dirty.
SELECT (SELECT count(*) FROM dirty_member) + (SELECT count(*) FROM dirty_list_member);

-- name: members_clear
-- Take memberships from the set that were not marked again since they were read.
DELETE FROM dirty_member d
USING unnest(CAST(:ids AS bigint[]), CAST(:marks AS bigint[])) AS r (lead_id, mark)
WHERE d.program_id = :program AND d.lead_id = r.lead_id AND d.mark = r.mark
RETURNING d.lead_id;

-- name: members_gone
-- Leads that are no longer members of the program.
DELETE FROM program_membership WHERE program_id = :program AND lead_id = ANY(:ids);

-- name: members_put
-- Write memberships that were read one by one. The type of a status is not told there: its channel has it, or others of the status.
INSERT INTO program_membership AS m (program_id, lead_id, status, status_type, acquired_by, reached_success, is_exhausted, stream,
    nurture_cadence, membership_date, updated_at, reached_success_at, custom)
SELECT DISTINCT ON (t.lead_id) CAST(:program AS bigint), t.lead_id, t.status, coalesce(c.type, k.status_type, t.status), t.acquired_by, t.reached_success,
    t.is_exhausted, t.stream, t.nurture_cadence, t.membership_date, t.updated_at, t.reached_success_at, t.custom
FROM jsonb_to_recordset(CAST(:members AS jsonb)) AS t (lead_id bigint, status text, acquired_by boolean, reached_success boolean,
    is_exhausted boolean, stream text, nurture_cadence text, membership_date timestamptz, updated_at timestamptz,
    reached_success_at timestamptz, custom jsonb)
LEFT JOIN program p ON p.id = :program
LEFT JOIN channel_status c ON c.channel = p.channel AND c.status = t.status
LEFT JOIN LATERAL (
    SELECT o.status_type FROM program_membership o
    WHERE c.type IS NULL AND o.program_id = :program AND o.status = t.status AND o.status_type IS NOT NULL LIMIT 1) AS k ON true
ORDER BY t.lead_id
ON CONFLICT (program_id, lead_id) DO UPDATE SET status = EXCLUDED.status, status_type = EXCLUDED.status_type,
    acquired_by = EXCLUDED.acquired_by, reached_success = EXCLUDED.reached_success, is_exhausted = EXCLUDED.is_exhausted,
    stream = EXCLUDED.stream, nurture_cadence = EXCLUDED.nurture_cadence, membership_date = EXCLUDED.membership_date,
    updated_at = EXCLUDED.updated_at,
    reached_success_at = CASE WHEN EXCLUDED.custom IS NULL THEN m.reached_success_at ELSE EXCLUDED.reached_success_at END,
    custom = coalesce(EXCLUDED.custom, m.custom)
WHERE (m.status, m.status_type, m.acquired_by, m.reached_success, m.is_exhausted, m.stream, m.nurture_cadence, m.membership_date,
        m.updated_at)
    IS DISTINCT FROM (EXCLUDED.status, EXCLUDED.status_type, EXCLUDED.acquired_by, EXCLUDED.reached_success, EXCLUDED.is_exhausted,
        EXCLUDED.stream, EXCLUDED.nurture_cadence, EXCLUDED.membership_date, EXCLUDED.updated_at)
   OR EXCLUDED.custom IS NOT NULL
    AND (m.reached_success_at, m.custom) IS DISTINCT FROM (EXCLUDED.reached_success_at, EXCLUDED.custom);

-- name: members_of_retired
-- Memberships end with their lead. It is noted, because a merge may be told later that took them along.
WITH retired AS (
    SELECT id FROM jsonb_to_recordset(CAST(:leads AS jsonb)) AS t (id bigint, merged_into bigint) WHERE merged_into IS NULL
), lists AS (
    DELETE FROM list_membership m USING retired r WHERE m.lead_id = r.id RETURNING m.list_id, m.lead_id
), programs AS (
    DELETE FROM program_membership m USING retired r WHERE m.lead_id = r.id RETURNING m.program_id, m.lead_id
)
INSERT INTO ended_member AS e (kind, container_id, lead_id, ended_at)
SELECT 'list', list_id, lead_id, now() FROM lists UNION ALL SELECT 'program', program_id, lead_id, now() FROM programs
ON CONFLICT (kind, container_id, lead_id) DO UPDATE SET ended_at = greatest(e.ended_at, EXCLUDED.ended_at), noted_at = now();

-- name: list_members_merged
-- The winner is on every list that a loser was on; of lists that one of them left lately Marketo is asked.
WITH merged AS (
    SELECT id, merged_into FROM jsonb_to_recordset(CAST(:leads AS jsonb)) AS t (id bigint, merged_into bigint) WHERE merged_into IS NOT NULL
), moved AS (
    DELETE FROM list_membership m USING merged g WHERE m.lead_id = g.id RETURNING m.list_id, g.merged_into, m.created_at, m.updated_at
), put AS (
    INSERT INTO list_membership (list_id, lead_id, created_at, updated_at)
    SELECT DISTINCT ON (list_id, merged_into) list_id, merged_into, created_at, updated_at FROM moved
    ORDER BY list_id, merged_into, created_at
    ON CONFLICT DO NOTHING
), passed AS (
    DELETE FROM dirty_list_member d USING merged g WHERE d.lead_id = g.id RETURNING d.list_id, g.merged_into
)
INSERT INTO dirty_list_member (list_id, lead_id)
SELECT list_id, merged_into FROM passed
UNION
SELECT e.container_id, g.merged_into
FROM merged g JOIN ended_member e ON e.kind = 'list' AND e.lead_id = ANY(ARRAY[g.id, g.merged_into])
ORDER BY 1, 2
ON CONFLICT (list_id, lead_id) DO UPDATE SET mark = nextval('dirty_mark');

-- name: program_members_merged
-- The winner is a member of every program that a loser was in, or was about to be read of; how far is read again.
WITH merged AS (
    SELECT id, merged_into FROM jsonb_to_recordset(CAST(:leads AS jsonb)) AS t (id bigint, merged_into bigint) WHERE merged_into IS NOT NULL
), moved AS (
    DELETE FROM program_membership m USING merged g WHERE m.lead_id = g.id RETURNING m.program_id, g.merged_into
), passed AS (
    DELETE FROM dirty_member d USING merged g WHERE d.lead_id = g.id RETURNING d.program_id, g.merged_into
)
INSERT INTO dirty_member (program_id, lead_id)
SELECT program_id, merged_into FROM moved
UNION
SELECT program_id, merged_into FROM passed
UNION
SELECT e.container_id, g.merged_into
FROM merged g JOIN ended_member e ON e.kind = 'program' AND e.lead_id = ANY(ARRAY[g.id, g.merged_into])
ORDER BY 1, 2
ON CONFLICT (program_id, lead_id) DO UPDATE SET mark = nextval('dirty_mark');

-- name: ended_members_prune
-- Forget memberships that ended long ago.
DELETE FROM ended_member WHERE noted_at < now() - interval '1 day';

-- name: pages_of_members
-- Calls that a sweep of every list and program takes.
SELECT sum(greatest(1, ceil(coalesce(s.members, 0) / 300.0)))::bigint
FROM (SELECT 'list' AS kind, id FROM static_list WHERE _removed_at IS NULL
    UNION ALL SELECT 'program', id FROM program WHERE _removed_at IS NULL) AS c
LEFT JOIN sweep s ON s.kind = c.kind AND s.container_id = c.id;

-- name: pages_of_leads
-- Calls that reading every living lead takes.
SELECT ceil(count(*) / 300.0)::bigint FROM lead WHERE _deleted_at IS NULL;

-- name: member_counts
-- How many memberships the mirror holds.
SELECT (SELECT count(*) FROM list_membership) AS list_members, (SELECT count(*) FROM program_membership) AS program_members;

-- name: channel_status_put
-- Write the statuses of channels; only what differs, and note those that are gone.
WITH listed AS (
    SELECT DISTINCT ON (channel, status) * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS t (channel text, status text, step integer,
        type text, success boolean, hidden boolean, description text) ORDER BY channel, status
), gone AS (
    UPDATE channel_status c SET _removed_at = now(), _synced_at = now()
    WHERE _removed_at IS NULL AND NOT EXISTS (SELECT FROM listed l WHERE l.channel = c.channel AND l.status = c.status)
)
INSERT INTO channel_status AS c (channel, status, step, type, success, hidden, description)
SELECT channel, status, step, type, success, hidden, description FROM listed
ON CONFLICT (channel, status) DO UPDATE SET step = EXCLUDED.step, type = EXCLUDED.type, success = EXCLUDED.success,
    hidden = EXCLUDED.hidden, description = EXCLUDED.description, _synced_at = now(), _removed_at = NULL
WHERE (c.step, c.type, c.success, c.hidden, c.description, c._removed_at) IS DISTINCT FROM
    (EXCLUDED.step, EXCLUDED.type, EXCLUDED.success, EXCLUDED.hidden, EXCLUDED.description, NULL::timestamptz);

-- name: program_member_field_put
-- Write the fields of program members; only what differs, and note those that are gone.
WITH listed AS (
    SELECT DISTINCT ON (name) * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS t (name text, display_name text, data_type text,
        length integer, updateable boolean) ORDER BY name
), gone AS (
    UPDATE program_member_field SET _removed_at = now(), _synced_at = now()
    WHERE _removed_at IS NULL AND name NOT IN (SELECT name FROM listed)
)
INSERT INTO program_member_field AS f (name, display_name, data_type, length, updateable)
SELECT name, display_name, data_type, length, updateable FROM listed
ON CONFLICT (name) DO UPDATE SET display_name = EXCLUDED.display_name, data_type = EXCLUDED.data_type, length = EXCLUDED.length,
    updateable = EXCLUDED.updateable, _synced_at = now(), _removed_at = NULL
WHERE (f.display_name, f.data_type, f.length, f.updateable, f._removed_at) IS DISTINCT FROM
    (EXCLUDED.display_name, EXCLUDED.data_type, EXCLUDED.length, EXCLUDED.updateable, NULL::timestamptz);
