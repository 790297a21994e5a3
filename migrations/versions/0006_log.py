"""How far the logs were read, members of lists to ask for, and memberships that ended lately.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0006"
down_revision = "0005"

SQL = """
ALTER TABLE {machinery}.cursor ADD COLUMN reached_at timestamptz;
UPDATE {machinery}.cursor SET reached_at = updated_at;
ALTER TABLE {machinery}.cursor ALTER COLUMN reached_at SET NOT NULL;
COMMENT ON COLUMN {machinery}.cursor.reached_at IS 'By Marketo''s clock: what was in the log by then was read. A token that is no longer taken is made anew from here, with an overlap.';

ALTER TABLE {machinery}.sweep ADD COLUMN reached_at timestamptz;
COMMENT ON COLUMN {machinery}.sweep.reached_at IS 'How far the log of activities was read when the members were asked for: an event of before is in what they were.';

CREATE TABLE {machinery}.dirty_list_member (
    list_id bigint NOT NULL,
    lead_id bigint NOT NULL,
    mark bigint NOT NULL DEFAULT nextval('{machinery}.dirty_mark'),
    PRIMARY KEY (list_id, lead_id)
);
CREATE INDEX dirty_list_member_lead_id_idx ON {machinery}.dirty_list_member (lead_id);
CREATE INDEX dirty_member_lead_id_idx ON {machinery}.dirty_member (lead_id);
COMMENT ON TABLE {machinery}.dirty_list_member IS 'Leads of which the log leaves open whether they are on a list: Marketo is asked, 300 of a list a call.';
COMMENT ON COLUMN {machinery}.dirty_list_member.list_id IS 'The list.';
COMMENT ON COLUMN {machinery}.dirty_list_member.lead_id IS 'The lead.';
COMMENT ON COLUMN {machinery}.dirty_list_member.mark IS 'Grows with each marking: an answer that was asked for before the newest mark does not count.';

CREATE TABLE {machinery}.ended_member (
    kind text NOT NULL,
    container_id bigint NOT NULL,
    lead_id bigint NOT NULL,
    ended_at timestamptz NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, container_id, lead_id),
    CONSTRAINT ended_member_kind_is_known CHECK (kind IN ('list', 'program'))
);
CREATE INDEX ended_member_lead_id_idx ON {machinery}.ended_member (lead_id);
CREATE INDEX ended_member_noted_at_idx ON {machinery}.ended_member (noted_at);
COMMENT ON TABLE {machinery}.ended_member IS 'Memberships that ended lately: a merge that is told later may have taken them along, and an addition that is told later may be older than their end.';
COMMENT ON COLUMN {machinery}.ended_member.kind IS 'list or program.';
COMMENT ON COLUMN {machinery}.ended_member.container_id IS 'The list or program.';
COMMENT ON COLUMN {machinery}.ended_member.lead_id IS 'The lead that was a member.';
COMMENT ON COLUMN {machinery}.ended_member.ended_at IS 'When it ended, by Marketo''s clock where the log tells it.';
COMMENT ON COLUMN {machinery}.ended_member.noted_at IS 'When it was noted; forgotten a day later.';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
