"""Doors that stay shut behind an erased person at less cost for each row that passes.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0021"
down_revision = "0020"

# Only the owner writes into these tables, so that the functions need neither another's rights nor a search path.
DOOR = """
CREATE OR REPLACE FUNCTION {machinery}.{function}() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM {machinery}.erased_lead e WHERE e.lead_id OPERATOR(pg_catalog.=) NEW.{column}) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
"""


QUEUE = (
    "COMMENT ON TABLE {machinery}.outbox_queue IS 'Where each unfinished outbox row stands. Changed only under the queue''s advisory lock, "
    "but that whoever sent a row forgets it first.'"
)


def upgrade() -> None:
    names = context.config.attributes["names"]
    op.execute(QUEUE.format(**names))
    for function, column in (("erased_stay_out", "lead_id"), ("erased_lead_stays_out", "id")):
        op.execute(DOOR.format(function=function, column=column, **names))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
