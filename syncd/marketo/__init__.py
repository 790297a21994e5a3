"""The telephone room: the only one that talks to Marketo. It knows nothing of the database."""

from syncd.marketo.client import Client

__all__ = ["Client"]
