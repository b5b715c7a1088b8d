"""Keys under which jobs are asked for, so that asking again gives the same one."""

from app.jobs.database import Data
from app.jobs.tickets import Asked, KeyTaken


class Keys:
    """Each owner's keys, as long as the queue keeps their jobs."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def job(self, owner: str, asked: Asked) -> str | None:
        """The job that was asked for under this key. Raises: KeyTaken where that was another request."""
        if asked.key is None:
            return None
        row = self._data.row("SELECT digest, job FROM keys WHERE owner = ? AND key = ?", (owner, asked.key))
        if row is None:
            return None
        if row["digest"] != asked.digest:
            raise KeyTaken(f"The key {asked.key!r:.60} was used for another request; take a new one.")
        return str(row["job"])

    def keep(self, owner: str, asked: Asked, job: str) -> None:
        """This key stands for this job."""
        if asked.key is not None:
            self._data.change(
                "INSERT INTO keys (owner, key, digest, job) VALUES (?, ?, ?, ?)", (owner, asked.key, asked.digest, job)
            )

    def let_go(self, job: str) -> None:
        """The queue keeps this job no longer."""
        self._data.change("DELETE FROM keys WHERE job = ?", (job,))
