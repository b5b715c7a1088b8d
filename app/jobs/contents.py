"""What is large in jobs, kept once for all that hold it."""

from collections.abc import Mapping

from app.jobs.database import Database
from blipdiff.errors import ConfigError


class Contents:
    """Texts by their hashes, each kept as long as a job holds it."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def keep(self, job: str, texts: Mapping[str, str]) -> None:
        """A job holds these."""
        for key, text in texts.items():
            self._data.change("INSERT OR IGNORE INTO contents VALUES (?, ?)", (key, text))
            self._data.change("INSERT OR IGNORE INTO holds VALUES (?, ?)", (job, key))

    def text(self, key: str) -> str:
        """Raises: ConfigError for one that is not kept."""
        row = self._data.row("SELECT text FROM contents WHERE hash = ?", (key,))
        if row is None:
            raise ConfigError("The job is damaged: a picture of it is not kept; ask for it again.")
        return str(row["text"])

    def let_go(self, job: str) -> None:
        """A job holds nothing any more; what no other one holds goes."""
        held = self._data.rows("SELECT hash FROM holds WHERE job = ?", (job,))
        self._data.change("DELETE FROM holds WHERE job = ?", (job,))
        for row in held:
            self._data.change(
                "DELETE FROM contents WHERE hash = ? AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.hash = ?)",
                (row["hash"], row["hash"]),
            )
