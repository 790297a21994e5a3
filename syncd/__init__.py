"""syncd keeps Adobe Marketo Engage and PostgreSQL in step, both ways."""

__version__ = "0.1.0"
