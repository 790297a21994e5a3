"""Rows that hold back what is behind them once they ended badly.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0016"
down_revision = "0015"

QUEUE = """
ALTER TABLE {machinery}.outbox_queue DROP CONSTRAINT outbox_queue_state_is_known;
ALTER TABLE {machinery}.outbox_queue ADD CONSTRAINT outbox_queue_state_is_known
    CHECK (state IN ('new', 'blocked', 'waiting', 'ready', 'sending', 'closing', 'halted'));
CREATE INDEX outbox_queue_halted_idx ON {machinery}.outbox_queue (outbox_id) WHERE state = 'halted';
COMMENT ON COLUMN {machinery}.outbox_queue.state IS 'new: not yet looked at; blocked: an earlier row shares a key; waiting: for due_at; ready; sending; closing: its outcome is not known and its keys stay closed until due_at; halted: it ended badly and holds back what is behind it until a person decides.';
COMMENT ON COLUMN {mirror}.outbox.options IS 'What else the call takes, under Marketo''s own names, such as listId or programName; and on_failure: halt keeps the later rows of the lead back when this one ends badly.';
"""

CHECK = """
CREATE OR REPLACE FUNCTION {machinery}.outbox_option_problem(options jsonb, known jsonb, required text[]) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT problem FROM (
        SELECT 0 AS place, 'options: they are a JSON ' || jsonb_typeof(options) || ' and must be an object' AS problem
        WHERE jsonb_typeof(options) <> 'object'
        UNION ALL
        (SELECT 1, 'option ' || o.key || ': ' || CASE
            WHEN NOT known ? o.key THEN coalesce(
                (SELECT 'there is none of this name; did you mean ' || k || '?' FROM jsonb_object_keys(known) k
                    WHERE lower(k) = lower(replace(o.key, '_', '')) LIMIT 1),
                'there is none of this name; this operation takes ' || (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(known) k))
            WHEN known ->> o.key = 'id' THEN 'it must be a whole number above 0'
            WHEN known ->> o.key = 'flag' THEN 'it must be true or false'
            WHEN known ->> o.key = 'on_failure' THEN 'it must be "halt" or "continue"'
            WHEN known ->> o.key = 'tokens' THEN 'it must be a list such as [{{"name": "{{{{my.token}}}}", "value": "text"}}]'
            ELSE 'it must be text that is not blank, of 255 characters at most' END
        FROM jsonb_each(CASE jsonb_typeof(options) WHEN 'object' THEN options ELSE '{{}}' END) AS o
        WHERE NOT known ? o.key OR NOT CASE known ->> o.key
            WHEN 'id' THEN coalesce(o.value #>> '{{}}' ~ '^[1-9][0-9]{{0,17}}$', false)
            WHEN 'flag' THEN jsonb_typeof(o.value) = 'boolean'
            WHEN 'on_failure' THEN o.value IN ('"halt"', '"continue"')
            WHEN 'tokens' THEN jsonb_typeof(o.value) = 'array' AND NOT EXISTS (
                SELECT FROM jsonb_array_elements(CASE jsonb_typeof(o.value) WHEN 'array' THEN o.value ELSE '[]' END) t
                WHERE jsonb_typeof(t -> 'name') IS DISTINCT FROM 'string' OR jsonb_typeof(t -> 'value') IS DISTINCT FROM 'string')
            ELSE jsonb_typeof(o.value) = 'string' AND btrim(o.value #>> '{{}}') <> '' AND length(o.value #>> '{{}}') <= 255 END
        ORDER BY o.key LIMIT 1)
        UNION ALL
        (SELECT 2, 'option ' || r || ': it is missing, and the operation needs it' FROM unnest(required) r WHERE NOT options ? r LIMIT 1)
    ) AS found ORDER BY place LIMIT 1
$$;
"""


def upgrade() -> None:
    for part in (QUEUE, CHECK):
        op.execute(part.format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
