"""Compares the mirror with Marketo itself, and repairs; never guesses."""
