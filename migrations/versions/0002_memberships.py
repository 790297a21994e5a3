"""Members of static lists and programs.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0002"
down_revision = "0001"

SQL = """
CREATE TABLE {mirror}.list_membership (
    list_id bigint NOT NULL,
    lead_id bigint NOT NULL,
    created_at timestamptz,
    updated_at timestamptz,
    PRIMARY KEY (list_id, lead_id)
);
CREATE INDEX list_membership_lead_id_idx ON {mirror}.list_membership (lead_id);
COMMENT ON TABLE {mirror}.list_membership IS 'Who is on which static list.';
COMMENT ON COLUMN {mirror}.list_membership.list_id IS 'The list (static_list.id).';
COMMENT ON COLUMN {mirror}.list_membership.lead_id IS 'The lead (lead.id).';
COMMENT ON COLUMN {mirror}.list_membership.created_at IS 'When the lead was added, where Marketo told.';
COMMENT ON COLUMN {mirror}.list_membership.updated_at IS 'When the membership last changed, where Marketo told.';

CREATE TABLE {mirror}.program_membership (
    program_id bigint NOT NULL,
    lead_id bigint NOT NULL,
    status text,
    status_type text,
    acquired_by boolean,
    reached_success boolean,
    is_exhausted boolean,
    stream text,
    nurture_cadence text,
    membership_date timestamptz,
    updated_at timestamptz,
    PRIMARY KEY (program_id, lead_id)
);
CREATE INDEX program_membership_lead_id_idx ON {mirror}.program_membership (lead_id);
CREATE INDEX program_membership_status_idx ON {mirror}.program_membership (program_id, status);
COMMENT ON TABLE {mirror}.program_membership IS 'Who is a member of which program, and how far.';
COMMENT ON COLUMN {mirror}.program_membership.program_id IS 'The program (program.id).';
COMMENT ON COLUMN {mirror}.program_membership.lead_id IS 'The lead (lead.id).';
COMMENT ON COLUMN {mirror}.program_membership.status IS 'Status in the program, one of its channel''s.';
COMMENT ON COLUMN {mirror}.program_membership.status_type IS 'Type of that status.';
COMMENT ON COLUMN {mirror}.program_membership.acquired_by IS 'Whether the program acquired the lead.';
COMMENT ON COLUMN {mirror}.program_membership.reached_success IS 'Whether the status counts as a success.';
COMMENT ON COLUMN {mirror}.program_membership.is_exhausted IS 'Whether the lead has had all content of an engagement program.';
COMMENT ON COLUMN {mirror}.program_membership.stream IS 'Stream of an engagement program.';
COMMENT ON COLUMN {mirror}.program_membership.nurture_cadence IS 'Cadence of an engagement program: norm or pause.';
COMMENT ON COLUMN {mirror}.program_membership.membership_date IS 'When the lead became a member.';
COMMENT ON COLUMN {mirror}.program_membership.updated_at IS 'When the membership last changed.';

CREATE TABLE {machinery}.sweep (
    kind text NOT NULL,
    container_id bigint NOT NULL,
    swept_at timestamptz NOT NULL DEFAULT now(),
    members bigint NOT NULL,
    PRIMARY KEY (kind, container_id),
    CONSTRAINT sweep_kind_is_known CHECK (kind IN ('list', 'program'))
);
COMMENT ON TABLE {machinery}.sweep IS 'When the members of each list and program were last read one and all.';
COMMENT ON COLUMN {machinery}.sweep.kind IS 'list or program.';
COMMENT ON COLUMN {machinery}.sweep.container_id IS 'The list or program.';
COMMENT ON COLUMN {machinery}.sweep.swept_at IS 'When its members were swapped in.';
COMMENT ON COLUMN {machinery}.sweep.members IS 'How many there were.';

CREATE SEQUENCE {machinery}.sweep_number;
CREATE UNLOGGED TABLE {machinery}.swept_member (
    sweep bigint NOT NULL,
    lead_id bigint NOT NULL,
    status text,
    status_type text,
    acquired_by boolean,
    reached_success boolean,
    is_exhausted boolean,
    stream text,
    nurture_cadence text,
    membership_date timestamptz,
    updated_at timestamptz
);
CREATE INDEX swept_member_idx ON {machinery}.swept_member (sweep, lead_id);
COMMENT ON TABLE {machinery}.swept_member IS 'Members as a sweep reads them, page by page; swapped in when it has read all.';
COMMENT ON COLUMN {machinery}.swept_member.sweep IS 'Number of the sweep.';
COMMENT ON COLUMN {machinery}.swept_member.lead_id IS 'The lead.';
COMMENT ON COLUMN {machinery}.swept_member.status IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.status_type IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.acquired_by IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.reached_success IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.is_exhausted IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.stream IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.nurture_cadence IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.membership_date IS 'As in program_membership.';
COMMENT ON COLUMN {machinery}.swept_member.updated_at IS 'As in program_membership.';

CREATE TABLE {machinery}.dirty_member (
    program_id bigint NOT NULL,
    lead_id bigint NOT NULL,
    mark bigint NOT NULL DEFAULT nextval('{machinery}.dirty_mark'),
    PRIMARY KEY (program_id, lead_id)
);
COMMENT ON TABLE {machinery}.dirty_member IS 'Program memberships whose row may be old.';
COMMENT ON COLUMN {machinery}.dirty_member.program_id IS 'The program.';
COMMENT ON COLUMN {machinery}.dirty_member.lead_id IS 'The lead.';
COMMENT ON COLUMN {machinery}.dirty_member.mark IS 'Grows with each marking: a read that began before the newest mark does not count.';

UPDATE {machinery}.cursor SET feed = 'activities' WHERE feed = 'merges';
"""


def upgrade() -> None:
    op.execute(SQL.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
