"""What a job's pictures are drawn with beside the model: LoRAs and embeddings, by their names and by what is in them.

A job names no place of a machine: whoever draws it looks for the file, and the fingerprint tells whether it is the one.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blipdiff.errors import ConfigError

LORA, EMBEDDING = "LoRA", "embedding"
KINDS = (LORA, EMBEDDING)
MOST_WEIGHT = 10.0
MOST = 32  # of one job
_LONGEST = 200
_LORA_PART = re.compile(rf"{LORA} (.+) at (-?[\d.e+-]+)")  # as models tell their parts
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Added:
    """A LoRA with its weight, or an embedding, whose name is the word that stands for it in prompts.

    fingerprint: of what is in its file, empty while nobody has looked; place: the file, where it is known

    Raises: ConfigError for a kind, name or weight that is none.
    """

    kind: str
    name: str
    weight: float | None = None
    fingerprint: str = ""
    place: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"{self.kind!r:.40} is nothing to draw with; give a LoRA or an embedding.")
        if not isinstance(self.name, str) or not 0 < len(self.name) <= _LONGEST or not self.name.isprintable():
            raise ConfigError(f"The {self.kind} is called {self.name!r:.80}; give its name.")
        if self.kind == EMBEDDING:
            if self.weight is not None:
                raise ConfigError(f"The embedding {self.name} has no weight; weigh its word in the prompt.")
            return
        is_number = isinstance(self.weight, int | float) and not isinstance(self.weight, bool)
        if not is_number or not abs(self.weight or 0.0) <= MOST_WEIGHT:  # not-a-number lies in no range
            raise ConfigError(
                f"The weight of {self.name} is {self.weight!r:.40}; it goes from {-MOST_WEIGHT:g} to {MOST_WEIGHT:g}."
            )

    @property
    def part(self) -> str:
        """Its name among the parts that draw, as `blipdiff.models.identity.Addition` has it."""
        return f"{self.kind} {self.name}" + ("" if self.weight is None else f" at {self.weight:.12g}")

    def as_mapping(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        found: dict[str, Any] = {"kind": self.kind, "name": self.name}
        if self.weight is not None:
            found["weight"] = self.weight
        return found | ({"fingerprint": self.fingerprint} if self.fingerprint else {})


def added_from(told: Any) -> tuple[Added, ...]:
    """A list of what `Added.as_mapping` made. Raises: ConfigError for what is none, and for one that is there twice."""
    if not isinstance(told, list | tuple) or len(told) > MOST:
        raise ConfigError(f"What a job is drawn with is a list of up to {MOST} LoRAs and embeddings.")
    found = tuple(_one(one) for one in told)
    for number, one in enumerate(found):
        if (one.kind, one.name) in {(other.kind, other.name) for other in found[:number]}:
            raise ConfigError(f"The {one.kind} {one.name} is given twice; give it once, with the sum of the weights.")
    return found


def _one(told: Any) -> Added:
    if isinstance(told, str):
        told = {"name": told}
    if not isinstance(told, Mapping) or set(told) - {"kind", "name", "weight", "fingerprint"}:
        raise ConfigError(f"{told!r:.80} is nothing to draw with; give an object with kind, name and weight.")
    kind = told.get("kind", LORA)
    kind = next((one for one in KINDS if isinstance(kind, str) and one.lower() == kind.lower()), kind)
    seen = told.get("fingerprint", "")
    if not isinstance(seen, str) or (seen and not _FINGERPRINT.fullmatch(seen)):
        raise ConfigError(f"The fingerprint of {told.get('name')!r:.80} is {seen!r:.40}; it has 16 digits.")
    weight = told.get("weight", 1.0 if kind == LORA else None)
    if isinstance(weight, float) and not math.isfinite(weight):
        raise ConfigError(f"The weight of {told.get('name')!r:.80} is no number.")
    return Added(kind, told.get("name", ""), weight, seen)


def added_in(parts: Any) -> tuple[Added, ...]:
    """The LoRAs and embeddings among the parts that a picture's metadata tell of its model."""
    found = []
    told = {str(part): str(seen) for part, seen in parts.items()} if isinstance(parts, Mapping) else {}
    for part, seen in told.items():
        if (named := _LORA_PART.fullmatch(part)) is not None:
            found.append({"kind": LORA, "name": named[1], "weight": float(named[2]), "fingerprint": seen})
        elif part.startswith(f"{EMBEDDING} "):
            found.append({"kind": EMBEDDING, "name": part.removeprefix(f"{EMBEDDING} "), "fingerprint": seen})
    return added_from(found)


def lacking(wanted: Sequence[Added], parts: Mapping[str, str]) -> list[Added]:
    """Those that are not among a model's parts."""
    return [
        one for one in wanted if parts.get(one.part) is None or parts[one.part] != (one.fingerprint or parts[one.part])
    ]


def check_added(wanted: Iterable[Added], parts: Mapping[str, str]) -> None:
    """Passes where a model has all that a job is drawn with. Raises: ConfigError naming what it lacks."""
    for one in lacking(tuple(wanted), parts):
        seen = f" ({one.fingerprint})" if one.fingerprint else ""
        other = parts.get(one.part)
        way = "--lora" if one.kind == LORA else "--embedding"
        raise ConfigError(
            f"The picture is drawn with the {one.part}{seen}, "
            + ("which is not on the model" if other is None else f"the one on the model is another, {other}")
            + f"; give its file with {way}, or put it into the folder of your files."
        )
