"""What is large in jobs, kept once for all that hold it."""

from collections.abc import Mapping

from app.jobs.database import Data
from blipdiff.errors import ConfigError


class Contents:
    """Texts by their hashes, each kept as long as a job holds it."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def keep(self, job: str, texts: Mapping[str, str]) -> None:
        """A job holds these."""
        for key, text in texts.items():
            self._data.change("INSERT INTO contents VALUES (?, ?) ON CONFLICT DO NOTHING", (key, text))
            self._data.change("INSERT INTO holds VALUES (?, ?) ON CONFLICT DO NOTHING", (job, key))

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
