"""What a preprocessor lacks on this machine, told before it is asked for; nothing is loaded or fetched."""

from importlib.util import find_spec
from pathlib import Path

from blipdiff.control.choices import PREPROCESSORS

PACKAGE = "controlnet_aux"
_OF_TRANSFORMERS = ("depth", "segmentation")


def lacking(name: str) -> tuple[str, ...]:
    """The package and the weights that this preprocessor needs and that are not here; nothing for one that can run.

    Weights count as here where anything of their repository is in the hub's cache.
    """
    weights = PREPROCESSORS[name].weights
    if weights is None:
        return ()
    package = () if name in _OF_TRANSFORMERS or find_spec(PACKAGE) is not None else (PACKAGE,)
    return package if _is_cached(weights) else (*package, weights)


def _is_cached(weights: str) -> bool:
    from huggingface_hub import constants  # which is asked for in the tab alone

    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{weights.replace('/', '--')}" / "snapshots"
    return snapshots.is_dir() and any(snapshots.iterdir())
