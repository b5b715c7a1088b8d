"""What a tab shows of its pictures: the components, and the pictures in the gallery."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Changes: TypeAlias = dict[Any, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """Where something that is sent to a tab goes, if it changes more than one field: what its file changes."""

    outputs: list[Any]
    changes: Callable[[str], Changes]


class Seen(NamedTuple):
    """A picture in the gallery: its copy for the browser, what stands under it, its seed, its name in the history."""

    path: str
    caption: str
    seed: int
    result: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """Every component that a tab's jobs change, and what the page remembers of it during one visit."""

    status: Any
    cancel: Any
    stage: Any  # pictures being drawn
    gallery: Any  # pictures that are done
    details: Any  # of the selected one
    metadata: Any
    download: Any
    pictures: Any  # those of the gallery, the newest first
    chosen: Any  # the one of them whose details are shown, or None

    @property
    def shown(self) -> list[Any]:
        """All of them."""
        return [
            self.status, self.cancel, self.stage, self.gallery, self.pictures, self.details, self.metadata,
            self.download, self.chosen,
        ]  # fmt: skip
