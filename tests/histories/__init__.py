"""Seeded histories of both sides, with faults and deaths, and what must hold when all is quiet.

A history is data: steps that a seed draws (``draw``) and a house takes (``house``). Some are edits in Marketo
(``edits``), some are runs of feeds and of the outbox; in the middle of a run something else may happen, or the
process may die. Few ids and few values, so that steps meet and go back to earlier values. At the end everything is
mended and left in peace (``quiet``): then the mirror equals Marketo, by ``verify`` and by an oracle that shares no
code with it (``oracle``), and one more round writes nothing. A history that fails is made as short as it goes (``shrink``).

``make histories SEEDS=500`` runs many, ``make histories SEED=7`` one; ``make mirror-mutants`` proves that they see.
"""
