"""What a person types; no logic of its own."""

from syncd.cli.main import main

__all__ = ["main"]
