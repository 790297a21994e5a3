"""The only room with PostgreSQL: engine, named SQL, COPY, LISTEN, locks, the ledger."""
