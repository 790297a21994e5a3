"""Marketo to PostgreSQL: one module a feed, one cycle a function."""
