"""A model's fitted steps on disk: scheduler/steps.json beside its noise schedule, which other programs pass by."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.fields import Choice, Fields, Real, Row, Whole, check, optional
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.step_tables import HISTORY, MOST_WEIGHT, StepTable, StepTables, Weights
from blipdiff.ranges import MOST_CALLS, MOST_GUIDANCE, SPEEDS

STEPS_FILE = "scheduler/steps.json"
_VERSION = 1
_WEIGHT = Real(-MOST_WEIGHT, MOST_WEIGHT)
_CALLS = Whole(1, MOST_CALLS)

_TABLE: Fields = {
    "timesteps": Row(Whole(0, 99_999), 1, MOST_CALLS),
    "decibels": optional(Row(Real(-100, 200), 2, 2)),
}
_FITTED: Fields = {
    "guidance": Real(0, MOST_GUIDANCE),
    "weights": Row(Row(Row(_WEIGHT, 2, HISTORY + 1), 1, HISTORY), 1, MOST_CALLS),
}
_FILE: Fields = {
    "blipdiff": Choice(("steps",)),
    "version": Choice((_VERSION,)),
}


def step_tables(folder: Path, config: Mapping[str, Any]) -> StepTables | None:
    """The fitted steps in a model's folder; None where there are none. config: of its noise schedule

    Raises: CheckpointError for a damaged file, or one of another noise schedule.
    """
    path = folder / STEPS_FILE
    if not path.is_file():
        return None
    told = read_json(path)
    check(told, _FILE, STEPS_FILE)
    listed, dial = told.get("tables"), told.get("dial")
    if not isinstance(listed, list) or not isinstance(dial, Mapping) or len(listed) > MOST_CALLS:
        raise CheckpointError(f"{path} is damaged: it needs 'tables' and a 'dial'.")
    check(dict(dial), dict.fromkeys(SPEEDS, _CALLS), STEPS_FILE)
    try:
        found = StepTables(tuple(map(_table, listed)), {speed: int(calls) for speed, calls in dial.items()})
    except ConfigError as reason:
        raise CheckpointError(f"{path} is damaged: {reason}") from reason
    levels = int(config.get("num_train_timesteps", 1000))
    if any(one.timesteps[0] >= levels for one in found.tables):
        raise CheckpointError(f"{path} is of another model: this one's noise schedule has {levels} levels.")
    return found


def write_step_tables(tables: StepTables, path: Path) -> None:
    """Writes them as the file that `step_tables` reads; a line for each table, for they are many numbers."""
    lines = [
        json.dumps(
            {
                "timesteps": one.timesteps,
                "decibels": one.decibels,
                "fitted": [{"guidance": scale, "weights": weights} for scale, weights in one.weights.items()],
            }
        )
        for one in tables.tables
    ]
    head = json.dumps({"blipdiff": "steps", "version": _VERSION, "dial": dict(tables.dial)})
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = ",\n".join(lines)
    path.write_text(f'{head[:-1]}, "tables": [\n{listed}\n]}}\n', encoding="utf-8")


def _table(told: Any) -> StepTable:
    fitted = told.get("fitted") if isinstance(told, Mapping) else None
    if not isinstance(fitted, list) or "timesteps" not in told:
        raise ConfigError("a table lacks its timesteps or weights.")
    check(told, _TABLE, STEPS_FILE)
    if len(weights := dict(map(_weights, fitted))) < len(fitted):
        raise ConfigError("a table has weights twice for one guidance.")
    decibels = told.get("decibels")
    return StepTable(
        tuple(map(int, told["timesteps"])),
        weights,
        None if decibels is None else (float(decibels[0]), float(decibels[1])),
    )


def _weights(told: Any) -> tuple[float, Weights]:
    if not isinstance(told, Mapping) or not {"guidance", "weights"} <= set(told):
        raise ConfigError("weights lack the guidance that they were fitted at.")
    check(told, _FITTED, STEPS_FILE)
    rows = tuple(tuple(tuple(map(float, row)) for row in several) for several in told["weights"])
    return float(told["guidance"]), rows
