"""Runs the migrations inside one transaction each, one migrator at a time.

The names of schemas and roles come in as ``config.attributes["names"]``: every migration formats
its SQL with them, so that several subscriptions can share a database.
"""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
names = context.config.attributes["names"]

context.configure(
    connection=connection,
    version_table="alembic_version",
    version_table_schema=names["version_schema"],
    transaction_per_migration=True,
)
with context.begin_transaction():
    connection.execute(text("SET lock_timeout = '10s'"))
    context.run_migrations()
