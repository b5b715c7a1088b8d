"""What a model on the page is for, in one line."""

from blipdiff.checkpoints.detect import BUNDLED

_DRAWN = (
    "This small model knows drawn things, at 128 pixels; photographs are drawn by "
    "blipdiff ui --model Salesforce/blipdiffusion --download"
)


def purpose_of(model: str) -> str | None:
    """A sentence on the bundled model; None for others, which have no such limits of their own."""
    return _DRAWN if model == BUNDLED else None
