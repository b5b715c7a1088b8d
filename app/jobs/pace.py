"""How fast jobs are drawn here, learned from those that were."""

from app.jobs.database import Data, upsert

_NEW_SHARE = 0.3  # how much the latest job counts


class Pace:
    """Seconds that a step of a picture takes, by task and model."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def seconds(self, task: str, model: str) -> float | None:
        """None where nothing was measured yet."""
        row = self._data.row("SELECT seconds FROM pace WHERE task = ? AND model = ?", (task, model))
        return None if row is None else float(row["seconds"])

    def learn(self, task: str, model: str, seconds: float) -> None:
        """A job took so long, for each step of a picture."""
        before = self.seconds(task, model)
        mean = seconds if before is None else (1 - _NEW_SHARE) * before + _NEW_SHARE * seconds
        self._data.change(upsert("pace", ("task", "model", "seconds"), key=2), (task, model, mean))
