"""Addresses, by which outbox rows name leads, where the mirror holds only their hashes.

A row's own key is the address as its writer put it; the second name made here is the form that the mirror
holds. So rows that name a lead by address and rows that name it by id meet, whichever it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.database.documents import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.database.engine import Transaction


def ready(transaction: Transaction) -> bool:
    """Tell whether the mirror holds addresses as the settings say. Until then no outbox row may go.

    After a change of the settings that is so when the field schema was pulled, and where addresses have to be
    read anew, when all of them were.
    """
    row = transaction.row("addresses_kept")
    if row is None or row.kept is None:
        return True
    policy = transaction.policy
    wanted = policy.kept_as("email")
    if row.kept != wanted + ((policy.mark or "") if wanted == "hashed" else ""):
        return False
    return not row.refilling or transaction.run("addresses_refilled") > 0


def have_two_names(transaction: Transaction) -> bool:
    """Tell whether an address has a second name, in the form that the mirror holds."""
    return transaction.policy.kept_as("email") == "hashed"


def add_names(transaction: Transaction, ids: Sequence[int] | None) -> None:
    """Give rows, or all unfinished ones, the second name of their addresses."""
    if not have_two_names(transaction):
        return
    names = [
        {"outbox_id": row.outbox_id, "address": transaction.policy.hashed("email", row.address)}
        for row in transaction.rows("address_keys", ids=None if ids is None else list(ids))
        if row.address
    ]
    if names:
        transaction.run("address_names", names=document(names))


def kept_otherwise(transaction: Transaction, *, emptied: bool) -> None:
    """Take note that the mirror holds addresses in another form from now on. The queue's lock must be held.

    emptied: they have to be read anew.
    """
    add_names(transaction, None)
    if emptied:
        transaction.run("addresses_refill")
