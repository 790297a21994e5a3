-- name: lock_changed
-- Rows whose lead somebody else changed after their time: the log told so, or updatedAt moved and no call of ours explains it.
SELECT t.outbox_id
FROM jsonb_to_recordset(CAST(:asks AS jsonb)) AS t (outbox_id bigint, lead_id bigint, since timestamptz, updated_at timestamptz)
WHERE EXISTS (SELECT FROM foreign_change c WHERE c.lead_id = t.lead_id AND c.changed_at > t.since)
   OR t.updated_at > t.since AND NOT EXISTS (
    SELECT FROM outbox_attempt a JOIN outbox o ON o.id = a.outbox_id
    WHERE (o.lead_id = t.lead_id OR o.id = t.outbox_id) AND a.outcome IN ('succeeded', 'unknown')
      AND t.updated_at BETWEEN a.started_at - interval '2 seconds'
        AND a.finished_at + CASE a.outcome WHEN 'unknown' THEN interval '90 seconds' ELSE interval '2 seconds' END);

-- name: lock_unread
-- Which of these leads the outbox wrote and nobody has read back yet: Marketo may spell a value otherwise than it was sent.
SELECT lead_id FROM dirty_lead WHERE lead_id = ANY(:ids) AND reason = 'outbox';

-- name: foreign_note
-- Keep when somebody else last changed each lead; changes that the outbox's own calls explain are none.
INSERT INTO foreign_change AS f (lead_id, changed_at)
SELECT c.lead_id, max(c.at)
FROM jsonb_to_recordset(CAST(:changes AS jsonb)) AS c (lead_id bigint, name text, at timestamptz)
WHERE NOT EXISTS (
    SELECT FROM outbox o JOIN outbox_attempt a ON a.outbox_id = o.id
    WHERE o.lead_id = c.lead_id AND o.payload ? c.name AND a.outcome IN ('succeeded', 'unknown')
      AND c.at BETWEEN a.started_at - interval '2 seconds'
        AND a.finished_at + CASE a.outcome WHEN 'unknown' THEN interval '90 seconds' ELSE interval '2 seconds' END)
  AND NOT EXISTS (
    -- Nor those of a call or an import that is still under way.
    SELECT FROM outbox_key k JOIN outbox_queue q ON q.outbox_id = k.outbox_id JOIN outbox o ON o.id = k.outbox_id
    WHERE k.key = 'lead:' || c.lead_id AND q.state = 'sending' AND c.at >= q.claimed_at - interval '2 seconds' AND o.payload ? c.name)
GROUP BY c.lead_id
ORDER BY c.lead_id
ON CONFLICT (lead_id) DO UPDATE SET changed_at = EXCLUDED.changed_at WHERE f.changed_at < EXCLUDED.changed_at;

-- name: foreign_prune
-- Forget changes that are older than any row that could ask about them.
DELETE FROM foreign_change WHERE changed_at < now() - CAST(:days AS integer) * interval '1 day';

-- name: conflict_note
-- Write both sides of conflicts down.
INSERT INTO outbox_conflict (outbox_id, attempt, field, lead_id, believed, in_marketo, wanted, resolution)
SELECT outbox_id, attempt, field, lead_id, nullif(believed, 'null'), nullif(in_marketo, 'null'), nullif(wanted, 'null'), resolution
FROM jsonb_to_recordset(CAST(:conflicts AS jsonb)) AS t (outbox_id bigint, attempt integer, field text, lead_id bigint, believed jsonb,
    in_marketo jsonb, wanted jsonb, resolution text)
ON CONFLICT DO NOTHING;

-- name: outbox_conflicts
-- The conflicts of one row.
SELECT * FROM outbox_conflict WHERE outbox_id = :id ORDER BY attempt, field;
