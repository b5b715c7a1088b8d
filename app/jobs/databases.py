"""A database by what it is named with: a file, or a URL."""

from pathlib import Path

from app.jobs.database import Data, Database
from app.jobs.postgres import SharedDatabase


def database_at(place: Path | str, tables: str) -> Data:
    """A file, or the database of a URL. Raises: ConfigError, MissingDependencyError where it cannot be used."""
    if isinstance(place, Path):
        return Database(place, tables)
    return SharedDatabase(place, tables)
