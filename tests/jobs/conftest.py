"""A PostgreSQL server for the tests of what several servers share."""

from collections.abc import Iterator

import pytest

from tests.support.postgres import Postgres, postgres


@pytest.fixture(scope="package")
def database_server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


@pytest.fixture(params=["file", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    """None for a file of one's own, or the URL of an empty database: a test that asks for it runs with both."""
    return None if request.param == "file" else str(request.getfixturevalue("database_server").database())
