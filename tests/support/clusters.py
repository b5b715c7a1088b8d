"""A small Ray cluster of the tests' own, which ends with them."""

import tempfile
from collections.abc import Iterator

import pytest

from app.cluster.connection import connected


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One for all tests of a file; its places are short, as names of sockets must be."""
    with tempfile.TemporaryDirectory(prefix="rb", dir="/tmp") as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", place)
        patch.setenv("OMP_NUM_THREADS", "1")
        with connected("local"):
            yield
