"""Histories of the outbox under every fault, and the judge that reads Marketo's own list of effects afterwards."""
