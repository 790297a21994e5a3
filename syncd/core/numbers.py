"""How far numbers go."""

HIGHEST = 2**63 - 1
"""The highest whole number of Marketo's and of PostgreSQL's."""
