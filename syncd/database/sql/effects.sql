-- name: effect_partitions
-- The ids of lead partitions by name.
SELECT id, name FROM lead_partition WHERE name = ANY(:names) AND _removed_at IS NULL;

-- name: effect_gone
-- Which of these leads are retired.
SELECT id FROM lead WHERE id = ANY(:ids) AND _deleted_at IS NOT NULL;

-- name: effect_listed
-- Leads that Marketo has put on lists or taken off them; reads of them that are under way don't count.
WITH told AS (
    SELECT DISTINCT ON (list_id, lead_id) list_id, lead_id, added
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t (place integer, list_id bigint, lead_id bigint, added boolean)
    ORDER BY list_id, lead_id, place DESC
), again AS (
    UPDATE dirty_list_member d SET mark = nextval('dirty_mark') FROM told t WHERE d.list_id = t.list_id AND d.lead_id = t.lead_id
), gone AS (
    DELETE FROM list_membership m USING told t WHERE NOT t.added AND m.list_id = t.list_id AND m.lead_id = t.lead_id
), noted AS (
    INSERT INTO ended_member AS e (kind, container_id, lead_id, ended_at)
    SELECT 'list', list_id, lead_id, now() FROM told WHERE NOT added ORDER BY list_id, lead_id
    ON CONFLICT (kind, container_id, lead_id) DO UPDATE SET ended_at = greatest(e.ended_at, EXCLUDED.ended_at), noted_at = now()
)
INSERT INTO list_membership (list_id, lead_id, created_at, updated_at)
SELECT list_id, lead_id, now(), now() FROM told WHERE added ORDER BY list_id, lead_id
ON CONFLICT DO NOTHING;

-- name: effect_members
-- Leads that a program has taken in or moved on; a status of which it is not sure only stands for a new member.
WITH told AS (
    SELECT DISTINCT ON (p.id, t.lead_id) p.id AS program_id, t.lead_id, t.status, t.sure, c.type, coalesce(c.success, false) AS success
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t (place integer, program_id bigint, program text, lead_id bigint, status text, sure boolean)
    CROSS JOIN LATERAL (
        SELECT coalesce(t.program_id, (SELECT min(n.id) FROM program n WHERE n.name = t.program AND n._removed_at IS NULL)) AS id) AS p
    LEFT JOIN program k ON k.id = p.id
    LEFT JOIN channel_status c ON c.channel = k.channel AND c.status = t.status
    WHERE p.id IS NOT NULL
    ORDER BY p.id, t.lead_id, t.place DESC
)
INSERT INTO program_membership AS m (program_id, lead_id, status, status_type, acquired_by, reached_success, is_exhausted, membership_date, updated_at)
SELECT program_id, lead_id, status, coalesce(type, status), false, success, false, now(), now() FROM told ORDER BY program_id, lead_id
ON CONFLICT (program_id, lead_id) DO UPDATE SET status = EXCLUDED.status, status_type = EXCLUDED.status_type,
    reached_success = coalesce(m.reached_success, false) OR EXCLUDED.reached_success, updated_at = now()
WHERE (SELECT t.sure FROM told t WHERE t.program_id = m.program_id AND t.lead_id = m.lead_id) AND m.status IS DISTINCT FROM EXCLUDED.status;

-- name: effect_members_dirty
-- What the request does not tell of a membership is read again.
INSERT INTO dirty_member (program_id, lead_id)
SELECT DISTINCT p.id, t.lead_id
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t (program_id bigint, program text, lead_id bigint)
CROSS JOIN LATERAL (
    SELECT coalesce(t.program_id, (SELECT min(n.id) FROM program n WHERE n.name = t.program AND n._removed_at IS NULL)) AS id) AS p
WHERE p.id IS NOT NULL
ORDER BY 1, 2
ON CONFLICT (program_id, lead_id) DO UPDATE SET mark = nextval('dirty_mark');

-- name: effect_left
-- Leads that are no longer members of a program; reads of them that are under way don't count.
WITH told AS (
    SELECT DISTINCT program_id, lead_id FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t (program_id bigint, lead_id bigint)
), again AS (
    UPDATE dirty_member d SET mark = nextval('dirty_mark') FROM told t WHERE d.program_id = t.program_id AND d.lead_id = t.lead_id
), noted AS (
    INSERT INTO ended_member AS e (kind, container_id, lead_id, ended_at)
    SELECT 'program', program_id, lead_id, now() FROM told ORDER BY program_id, lead_id
    ON CONFLICT (kind, container_id, lead_id) DO UPDATE SET ended_at = greatest(e.ended_at, EXCLUDED.ended_at), noted_at = now()
)
DELETE FROM program_membership m USING told t WHERE m.program_id = t.program_id AND m.lead_id = t.lead_id;

-- name: effect_fields_changed
-- What was changed of fields of leads; what a record does not name stays.
UPDATE lead_field f SET
    display_name = coalesce(t.record ->> 'displayName', f.display_name),
    description = CASE WHEN t.record ? 'description' THEN t.record ->> 'description' ELSE f.description END,
    hidden = coalesce(CAST(t.record ->> 'isHidden' AS boolean), f.hidden),
    sensitive = coalesce(CAST(t.record ->> 'isSensitive' AS boolean), f.sensitive),
    html_encoded_in_email = coalesce(CAST(t.record ->> 'isHtmlEncodingInEmail' AS boolean), f.html_encoded_in_email)
FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS t (record)
WHERE f.name = t.record ->> 'name';
