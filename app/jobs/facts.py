"""What there is to tell of an open model, wherever it is open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.libraries import load_libraries

if TYPE_CHECKING:  # which loads torch: the page is there before the model
    from pipelines.studio import Studio


@dataclass(frozen=True, slots=True)
class Facts:
    """What the faces tell of an open model, and what they leave to it.

    purpose: what it is for; additions: the names of what goes on it; told: the words that call that up
    """

    name: str
    device: str
    dtype: str
    purpose: str | None
    additions: tuple[str, ...]
    told: tuple[str, ...]
    width: int  # pixels of its own pictures
    height: int
    guidance: float
    detail: float
    calls: Mapping[str, int]  # of each speed
    fingerprint: str  # of what makes subject cards
    rows_width: int  # channels of a card's rows

    @classmethod
    def of(cls, studio: "Studio") -> "Facts":
        """Of a model that is open here."""
        load_libraries()
        from blipdiff.checkpoints.additions import told
        from blipdiff.sampling.cost import own_size
        from pipelines.plan import calls_of
        from pipelines.studio import purpose

        model = studio.model
        width, height = own_size(model)
        return cls(
            model.name,
            str(model.device),
            str(model.unet.dtype).removeprefix("torch."),
            purpose(model, "Settings gets them"),
            tuple(one.part for one in model.additions),
            tuple(told(model)),
            width,
            height,
            model.guidance,
            model.detail(None),
            calls_of(model),
            model.subject_fingerprint,
            model.text_encoder.sizes.width,
        )
