"""Members of smart campaigns, statuses of channels, all fields of program members, and views for analysts.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0003"
down_revision = "0002"

CAMPAIGNS = """
CREATE TABLE {mirror}.campaign_membership (
    smart_campaign_id bigint NOT NULL,
    lead_id bigint NOT NULL,
    created_at timestamptz,
    updated_at timestamptz,
    PRIMARY KEY (smart_campaign_id, lead_id)
);
CREATE INDEX campaign_membership_lead_id_idx ON {mirror}.campaign_membership (lead_id);
COMMENT ON TABLE {mirror}.campaign_membership IS 'Which lead went through which smart campaign, of the leads that were read so far: Marketo tells it lead by lead only (see lead_campaign_read).';
COMMENT ON COLUMN {mirror}.campaign_membership.smart_campaign_id IS 'The campaign (smart_campaign.id).';
COMMENT ON COLUMN {mirror}.campaign_membership.lead_id IS 'The lead (lead.id).';
COMMENT ON COLUMN {mirror}.campaign_membership.created_at IS 'When the lead first went through it.';
COMMENT ON COLUMN {mirror}.campaign_membership.updated_at IS 'When the lead last went through it.';

CREATE TABLE {machinery}.campaign_read (
    lead_id bigint PRIMARY KEY,
    read_at timestamptz NOT NULL DEFAULT '-infinity',
    mark bigint
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX campaign_read_mark_idx ON {machinery}.campaign_read (mark) WHERE mark IS NOT NULL;
CREATE INDEX campaign_read_read_at_idx ON {machinery}.campaign_read (read_at, lead_id DESC) WHERE mark IS NULL;
COMMENT ON TABLE {machinery}.campaign_read IS 'When the smart campaigns of each lead were last read, and whose turn it is.';
COMMENT ON COLUMN {machinery}.campaign_read.lead_id IS 'The lead.';
COMMENT ON COLUMN {machinery}.campaign_read.read_at IS 'When they were last read; -infinity before the first time.';
COMMENT ON COLUMN {machinery}.campaign_read.mark IS 'Set while the lead changed since; grows with each marking: a read that began before the newest mark does not count.';

CREATE TABLE {machinery}.campaign_walk (
    one boolean PRIMARY KEY DEFAULT true,
    below bigint NOT NULL,
    stand text NOT NULL,
    CONSTRAINT campaign_walk_is_one_row CHECK (one)
);
COMMENT ON TABLE {machinery}.campaign_walk IS 'How far the leads of bulk files were entered in campaign_read, from the highest id down.';
COMMENT ON COLUMN {machinery}.campaign_walk.one IS 'There is one row.';
COMMENT ON COLUMN {machinery}.campaign_walk.below IS 'Leads of this id and above are entered.';
COMMENT ON COLUMN {machinery}.campaign_walk.stand IS 'How far the backfill was then; where it has moved, the walk starts again.';
"""

PROGRAMS = """
CREATE TABLE {mirror}.channel_status (
    channel text NOT NULL,
    status text NOT NULL,
    step integer,
    type text,
    success boolean NOT NULL DEFAULT false,
    hidden boolean NOT NULL DEFAULT false,
    description text,
    _synced_at timestamptz NOT NULL DEFAULT now(),
    _removed_at timestamptz,
    PRIMARY KEY (channel, status)
);
COMMENT ON TABLE {mirror}.channel_status IS 'The statuses that members of a program may have, by the program''s channel.';
COMMENT ON COLUMN {mirror}.channel_status.channel IS 'The channel (program.channel).';
COMMENT ON COLUMN {mirror}.channel_status.status IS 'The status (program_membership.status).';
COMMENT ON COLUMN {mirror}.channel_status.step IS 'Its place on the way: members move to higher steps only. 0 is Not in Program.';
COMMENT ON COLUMN {mirror}.channel_status.type IS 'Type of the status.';
COMMENT ON COLUMN {mirror}.channel_status.success IS 'Whether it counts as a success.';
COMMENT ON COLUMN {mirror}.channel_status.hidden IS 'Whether it is hidden in Marketo''s own interface.';
COMMENT ON COLUMN {mirror}.channel_status.description IS 'Description.';
COMMENT ON COLUMN {mirror}.channel_status._synced_at IS 'When this row was last written by syncd.';
COMMENT ON COLUMN {mirror}.channel_status._removed_at IS 'When it was no longer listed by Marketo.';

CREATE TABLE {mirror}.program_member_field (
    name text PRIMARY KEY,
    display_name text NOT NULL,
    data_type text NOT NULL,
    length integer,
    updateable boolean NOT NULL,
    _synced_at timestamptz NOT NULL DEFAULT now(),
    _removed_at timestamptz
);
COMMENT ON TABLE {mirror}.program_member_field IS 'Each field of a program member that Marketo offers; those without a column of their own are keys of program_membership.custom.';
COMMENT ON COLUMN {mirror}.program_member_field.name IS 'API name, as in program_membership.custom.';
COMMENT ON COLUMN {mirror}.program_member_field.display_name IS 'Name in Marketo''s own interface.';
COMMENT ON COLUMN {mirror}.program_member_field.data_type IS 'Marketo''s type.';
COMMENT ON COLUMN {mirror}.program_member_field.length IS 'Characters at most, where Marketo says so.';
COMMENT ON COLUMN {mirror}.program_member_field.updateable IS 'Whether it can be written; all of the company''s own fields can.';
COMMENT ON COLUMN {mirror}.program_member_field._synced_at IS 'When this row was last written by syncd.';
COMMENT ON COLUMN {mirror}.program_member_field._removed_at IS 'When it was no longer offered by Marketo.';

ALTER TABLE {mirror}.program_membership ADD COLUMN reached_success_at timestamptz;
ALTER TABLE {mirror}.program_membership ADD COLUMN custom jsonb;
COMMENT ON COLUMN {mirror}.program_membership.reached_success_at IS 'When the lead first reached a success status.';
COMMENT ON COLUMN {mirror}.program_membership.custom IS 'All other fields of the member that have a value, by API name (see program_member_field): the company''s own ones, registrationCode, webinarUrl, …; NULL where they were not read yet.';
ALTER TABLE {machinery}.swept_member ADD COLUMN reached_success_at timestamptz;
ALTER TABLE {machinery}.swept_member ADD COLUMN custom jsonb;
COMMENT ON COLUMN {machinery}.swept_member.reached_success_at IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.custom IS 'As in program_membership.';
"""

# The views name the columns of lead that every mirror has: the rest of them come, go and change their types.
# Whole rows (lead_resolved.survivor) follow the table by themselves.
VIEWS = """
CREATE VIEW {mirror}.list_member AS
SELECT m.list_id, s.name AS list_name, m.lead_id, l.email, m.created_at AS added_at
FROM {mirror}.list_membership m
JOIN {mirror}.static_list s ON s.id = m.list_id AND s._removed_at IS NULL
JOIN {mirror}.lead l ON l.id = m.lead_id AND l._deleted_at IS NULL;
COMMENT ON VIEW {mirror}.list_member IS 'Current members of static lists: living leads only, with address and name of the list.';
COMMENT ON COLUMN {mirror}.list_member.list_id IS 'The list (static_list.id).';
COMMENT ON COLUMN {mirror}.list_member.list_name IS 'Name of the list.';
COMMENT ON COLUMN {mirror}.list_member.lead_id IS 'The lead (lead.id).';
COMMENT ON COLUMN {mirror}.list_member.email IS 'Its e-mail address.';
COMMENT ON COLUMN {mirror}.list_member.added_at IS 'When it was added, where Marketo told.';

CREATE VIEW {mirror}.program_funnel AS
WITH counted AS (
    SELECT program_id, status, count(*) AS members, count(*) FILTER (WHERE reached_success) AS successes
    FROM {mirror}.program_membership GROUP BY program_id, status
), steps AS (
    SELECT p.id AS program_id, c.status, c.step, c.success
    FROM {mirror}.program p
    JOIN {mirror}.channel_status c ON c.channel = p.channel AND c._removed_at IS NULL AND (c.step > 0 OR c.step IS NULL)
    WHERE p._removed_at IS NULL
), joined AS (
    SELECT coalesce(s.program_id, c.program_id) AS program_id, coalesce(s.status, c.status) AS status, s.step, s.success,
        coalesce(c.members, 0) AS members, coalesce(c.successes, 0) AS successes
    FROM steps s FULL JOIN counted c ON c.program_id = s.program_id AND c.status = s.status
)
SELECT j.program_id, p.name AS program_name, p.channel, j.step, j.status, j.success AS is_success, j.members,
    (CASE WHEN j.step IS NOT NULL THEN
        sum(j.members) FILTER (WHERE j.step IS NOT NULL) OVER (PARTITION BY j.program_id ORDER BY j.step DESC) END)::bigint AS members_this_far,
    round(j.members / nullif(sum(j.members) OVER (PARTITION BY j.program_id), 0), 4) AS share_of_members,
    j.successes AS members_with_success
FROM joined j JOIN {mirror}.program p ON p.id = j.program_id AND p._removed_at IS NULL;
COMMENT ON VIEW {mirror}.program_funnel IS 'Members of each program by status, in the order of the steps of its channel; statuses without members too.';
COMMENT ON COLUMN {mirror}.program_funnel.program_id IS 'The program (program.id).';
COMMENT ON COLUMN {mirror}.program_funnel.program_name IS 'Name of the program.';
COMMENT ON COLUMN {mirror}.program_funnel.channel IS 'Channel of the program.';
COMMENT ON COLUMN {mirror}.program_funnel.step IS 'Step of the status; NULL where the channel does not list it.';
COMMENT ON COLUMN {mirror}.program_funnel.status IS 'The status.';
COMMENT ON COLUMN {mirror}.program_funnel.is_success IS 'Whether the status counts as a success; NULL where the channel does not list it.';
COMMENT ON COLUMN {mirror}.program_funnel.members IS 'Members that have this status now.';
COMMENT ON COLUMN {mirror}.program_funnel.members_this_far IS 'Members that have this status or one of a higher step.';
COMMENT ON COLUMN {mirror}.program_funnel.share_of_members IS 'Share of the program''s members that have this status, 0 to 1.';
COMMENT ON COLUMN {mirror}.program_funnel.members_with_success IS 'Those of them that have ever reached success in the program.';

CREATE VIEW {mirror}.lead_resolved AS
SELECT l.id AS lead_id, coalesce(l._merged_into_id, l.id) AS surviving_id, l._merged_into_id IS NOT NULL AS was_merged,
    coalesce(s._deleted_at IS NULL, false) AS is_living, s.email, s.created_at, s.updated_at, s AS survivor
FROM {mirror}.lead l
LEFT JOIN {mirror}.lead s ON s.id = coalesce(l._merged_into_id, l.id);
COMMENT ON VIEW {mirror}.lead_resolved IS 'Every lead id that was ever seen, and the lead that it lives on as: itself, or the last winner of its merges.';
COMMENT ON COLUMN {mirror}.lead_resolved.lead_id IS 'Any id of a lead, old or new.';
COMMENT ON COLUMN {mirror}.lead_resolved.surviving_id IS 'The lead that it is now (lead.id).';
COMMENT ON COLUMN {mirror}.lead_resolved.was_merged IS 'Whether lead_id was merged away.';
COMMENT ON COLUMN {mirror}.lead_resolved.is_living IS 'Whether the surviving lead still exists in Marketo.';
COMMENT ON COLUMN {mirror}.lead_resolved.email IS 'E-mail address of the surviving lead.';
COMMENT ON COLUMN {mirror}.lead_resolved.created_at IS 'When the surviving lead was created.';
COMMENT ON COLUMN {mirror}.lead_resolved.updated_at IS 'When the surviving lead was last updated, as Marketo shows it.';
COMMENT ON COLUMN {mirror}.lead_resolved.survivor IS 'The whole row of the surviving lead: (survivor).first_name is one of its columns.';

CREATE VIEW {mirror}.lead_changes_by_day AS
SELECT day, count(*) FILTER (WHERE what = 'new') AS new_leads, count(*) FILTER (WHERE what = 'changed') AS changed_leads,
    count(*) FILTER (WHERE what = 'deleted') AS deleted_leads, count(*) FILTER (WHERE what = 'merged') AS merged_leads
FROM (
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, 'new' AS what FROM {mirror}.lead WHERE created_at IS NOT NULL
    UNION ALL
    SELECT (updated_at AT TIME ZONE 'UTC')::date, 'changed' FROM {mirror}.lead
    WHERE _deleted_at IS NULL AND (updated_at AT TIME ZONE 'UTC')::date > (created_at AT TIME ZONE 'UTC')::date
    UNION ALL
    SELECT (_deleted_at AT TIME ZONE 'UTC')::date, CASE WHEN _merged_into_id IS NULL THEN 'deleted' ELSE 'merged' END
    FROM {mirror}.lead WHERE _deleted_at IS NOT NULL
) AS events
GROUP BY day;
COMMENT ON VIEW {mirror}.lead_changes_by_day IS 'New, changed and retired leads by day (UTC), as far as the mirror knows: it holds the last change of each lead, and tombstones unless they are purged.';
COMMENT ON COLUMN {mirror}.lead_changes_by_day.day IS 'The day, in UTC.';
COMMENT ON COLUMN {mirror}.lead_changes_by_day.new_leads IS 'Leads created on it, among them those that were retired since.';
COMMENT ON COLUMN {mirror}.lead_changes_by_day.changed_leads IS 'Living, older leads whose last change (lead.updated_at) was on it; a later change moves them to its day.';
COMMENT ON COLUMN {mirror}.lead_changes_by_day.deleted_leads IS 'Leads that syncd learned on it were deleted.';
COMMENT ON COLUMN {mirror}.lead_changes_by_day.merged_leads IS 'Leads that syncd learned on it were merged into another.';

CREATE VIEW {mirror}.lead_campaign_read AS
SELECT lead_id, nullif(read_at, '-infinity') AS read_at, mark IS NOT NULL AS changed_since FROM {machinery}.campaign_read;
COMMENT ON VIEW {mirror}.lead_campaign_read IS 'How fresh campaign_membership is for each lead; leads that are missing here were not read yet.';
COMMENT ON COLUMN {mirror}.lead_campaign_read.lead_id IS 'The lead (lead.id).';
COMMENT ON COLUMN {mirror}.lead_campaign_read.read_at IS 'When its smart campaigns were last read; NULL before the first time.';
COMMENT ON COLUMN {mirror}.lead_campaign_read.changed_since IS 'Whether the lead changed since, so that it is among the next to be read.';

-- The view has the name that people look for; the table steps aside, because both schemas are on the search path.
ALTER TABLE {machinery}.api_usage RENAME TO api_spending;
CREATE VIEW {mirror}.api_usage AS SELECT day, lane, endpoint, calls, errors FROM {machinery}.api_spending;
COMMENT ON VIEW {mirror}.api_usage IS 'What the calls to Marketo were spent on.';
COMMENT ON COLUMN {mirror}.api_usage.day IS 'Marketo''s day, which ends at midnight US Central.';
COMMENT ON COLUMN {mirror}.api_usage.lane IS 'Who called: outbox, changes, memberships, backfill or verify.';
COMMENT ON COLUMN {mirror}.api_usage.endpoint IS 'What was called.';
COMMENT ON COLUMN {mirror}.api_usage.calls IS 'Calls that Marketo charges.';
COMMENT ON COLUMN {mirror}.api_usage.errors IS 'Calls that failed.';
"""


def upgrade() -> None:
    names = context.config.attributes["names"]
    for part in (CAMPAIGNS, PROGRAMS, VIEWS):
        op.execute(part.format(**names))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
