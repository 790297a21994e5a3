"""Times and blanks that PostgreSQL takes and no other program does.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0023"
down_revision = "0022"

# What is there already was read before, or could be cancelled: only new rows are held to it.
TIME = """
ALTER TABLE {mirror}.outbox ADD CONSTRAINT outbox_{column}_is_in_the_calendar
    CHECK ({column} BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00') NOT VALID;
"""

BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""All characters that are blank to Unicode: around a name they do not count."""

STRIPPED = """
CREATE FUNCTION {machinery}.stripped(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN btrim(value, '{blanks}');
COMMENT ON FUNCTION {machinery}.stripped(text) IS 'A text without the blanks around it, of whichever kind they are.';
"""


def upgrade() -> None:
    names = context.config.attributes["names"]
    op.execute(STRIPPED.format(blanks=BLANKS, **names))
    for column in ("not_before", "expires_at", "if_unchanged_since"):
        op.execute(TIME.format(column=column, **names))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
