"""This room's tests run on the newest and on the lowest version of PostgreSQL."""

import pytest

from syncd.database.engine import Database
from tests.database.desk import Desk
from tests.database.ways import ONE_OF_EACH


@pytest.fixture
def database(every_database: Database) -> Database:
    return every_database


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def typed(desk: Desk) -> Desk:
    desk.fields(ONE_OF_EACH)
    return desk
