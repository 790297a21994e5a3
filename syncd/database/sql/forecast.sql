-- name: backlog
-- What waits and about how many calls it takes; one row a kind of work.
SELECT 'outbox' AS what, 'outbox' AS lane, coalesce(sum(n), 0)::bigint AS items, coalesce(sum(ceil(n / 300.0)), 0)::bigint AS calls
FROM (SELECT count(*) AS n FROM outbox_queue GROUP BY shape) AS q
UNION ALL
SELECT 'dirty leads', 'changes', count(*), ceil(count(*) / 300.0)::bigint FROM dirty_lead
UNION ALL
SELECT 'changed members', 'memberships', coalesce(sum(n), 0)::bigint, coalesce(sum(ceil(n / 300.0)), 0)::bigint
FROM (SELECT count(*) AS n FROM dirty_member GROUP BY program_id) AS m
UNION ALL
SELECT 'sweeps', 'memberships', count(*), coalesce(sum(greatest(1, ceil(coalesce(s.members, 0) / 300.0))), 0)::bigint
FROM (SELECT 'list' AS kind, id FROM static_list WHERE _removed_at IS NULL
    UNION ALL SELECT 'program', id FROM program WHERE _removed_at IS NULL) AS c
LEFT JOIN sweep s ON s.kind = c.kind AND s.container_id = c.id
WHERE s.swept_at IS NULL OR s.swept_at < now() - :sweep_seconds * interval '1 second'
UNION ALL
SELECT 'windows', 'backfill', count(*), coalesce(sum(CASE state WHEN 'planned' THEN 5 WHEN 'created' THEN 4 ELSE 3 END), 0)::bigint
FROM backfill_window WHERE state <> 'done'
UNION ALL
-- One call a lead, within a limit of their own for each day.
SELECT 'campaigns', 'memberships', greatest(0, l.living - c.fresh), greatest(0, l.living - c.fresh)
FROM (SELECT count(*) AS living FROM lead WHERE _deleted_at IS NULL) AS l,
    (SELECT count(*) AS fresh FROM campaign_read WHERE mark IS NULL AND read_at >= now() - :sweep_seconds * interval '1 second') AS c;
