"""What a picture is worth beside others of its job: its scores for the prompt and for the subject."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOGETHER = "together"  # among the facts of a result that others are ordered with: what its scores come to


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one picture, from 0 to 1; subject: None where no photo shows it. by: who has scored the prompt."""

    prompt: float
    subject: float | None
    by: str

    @property
    def together(self) -> float:
        """The product, by which pictures are ordered."""
        return self.prompt * (1.0 if self.subject is None else self.subject)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Scores":
        """Those that `told` gave. Raises: KeyError, TypeError, ValueError where these are none."""
        subject = told.get("subject")
        return cls(float(told["prompt"]), None if subject is None else float(subject), str(told["by"]))

    def told(self) -> dict[str, Any]:
        """As metadata tell them."""
        found = {"prompt": round(self.prompt, 4), TOGETHER: round(self.together, 4), "by": self.by}
        return found if self.subject is None else {**found, "subject": round(self.subject, 4)}

    def label(self) -> str:
        """What stands under the picture."""
        if self.subject is None:
            return f"prompt {self.prompt:.2f}"
        return f"prompt {self.prompt:.2f}, subject {self.subject:.2f}: {self.together:.2f}"
