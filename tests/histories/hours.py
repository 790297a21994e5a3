"""PostgreSQL's clock in a history: it shows Marketo's time, whatever the machine's own clock says.

``now()`` and its like of a schema that comes before ``pg_catalog`` in the search path stand before the real ones, and
every default that was made with those is made anew.
"""

import psycopg

SCHEMA = "hours"
INSTALL = """
CREATE SCHEMA hours;
CREATE TABLE hours.ahead (seconds double precision NOT NULL);
INSERT INTO hours.ahead VALUES (0);
CREATE FUNCTION hours.now() RETURNS timestamptz LANGUAGE sql STABLE
    RETURN pg_catalog.now() + (SELECT seconds FROM hours.ahead) * interval '1 second';
CREATE FUNCTION hours.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN pg_catalog.clock_timestamp() + (SELECT seconds FROM hours.ahead) * interval '1 second';
CREATE FUNCTION hours.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    RETURN pg_catalog.statement_timestamp() + (SELECT seconds FROM hours.ahead) * interval '1 second';
GRANT USAGE ON SCHEMA hours TO PUBLIC;
GRANT SELECT ON hours.ahead TO PUBLIC;
DO $do$
DECLARE found record;
BEGIN
    FOR found IN
        SELECT d.adrelid::regclass AS place, a.attname AS name, pg_get_expr(d.adbin, d.adrelid) AS was
        FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE pg_get_expr(d.adbin, d.adrelid) ~ '^(now|clock_timestamp|statement_timestamp)\\(\\)$'
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT hours.%s', found.place, found.name, found.was);
    END LOOP;
    FOR found IN
        SELECT p.oid::regprocedure AS place, substring(c FROM 'search_path=(.*)') AS was
        FROM pg_proc p, unnest(p.proconfig) c WHERE c LIKE 'search_path=%' AND p.pronamespace <> 'pg_catalog'::regnamespace
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %s', found.place,
            replace(found.was, ', pg_temp', '') || ', hours, pg_catalog, pg_temp');
    END LOOP;
END $do$;
"""


def install(url: str) -> None:
    """Give a migrated database a clock that can be set."""
    with psycopg.connect(url) as connection:
        connection.execute(INSTALL)


def options(given: str) -> str:
    """Let the sessions that are opened with these options go by that clock."""
    path, rest = given.split(" ", 1)
    assert path.startswith("-csearch_path="), path
    return f"{path},{SCHEMA},pg_catalog {rest}"


class Hands:
    """Sets the clock of one database."""

    def __init__(self, url: str, ahead: float) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.pid = self._connection.info.backend_pid
        self._connection.execute("UPDATE hours.ahead SET seconds = %s", (ahead,))

    def forward(self, seconds: float) -> None:
        """Set it forward."""
        self._connection.execute("UPDATE hours.ahead SET seconds = seconds + %s", (seconds,))

    def close(self) -> None:
        """Leave it alone."""
        self._connection.close()
