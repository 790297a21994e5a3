"""The database's own copy of the catalogue of operations, from which INSERTs are checked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from syncd.core.operations import CATALOGUE, OF_ALL
from syncd.database.documents import document
from syncd.database.queries import for_driver


def rows() -> list[dict[str, Any]]:
    """Return the catalogue as rows of the table ``operation``."""
    return [
        {
            "name": o.name,
            "place": place,
            "payload": o.payload,
            "records": o.records,
            "id_in_payload": o.id_in_payload,
            "lookup": None if o.lookup is None else list(o.lookup),
            "partition": o.partition,
            "loose": o.loose,
            "options": {option.name: option.kind for option in (*o.options, *OF_ALL)},
            "required": [option.name for option in o.options if option.required],
        }
        for place, o in enumerate(CATALOGUE.values())
    ]


def put(connection: Connection, machinery: str) -> None:
    """Write the catalogue of this version; the connection's user must own the table."""
    connection.execute(text(f'SET LOCAL search_path = "{machinery}"'))
    connection.exec_driver_sql(for_driver("operations_put").decode(), {"operations": document(rows())})
