"""Networks of transformers whose weights are all there: transformers itself fills gaps with random numbers."""

import re
from typing import Any

from blipdiff.errors import CheckpointError, unfit


def strict_network(kind: Any, source: str, what: str, *, unused: str | None = None, **options: Any) -> Any:
    """What `kind.from_pretrained` makes of a folder or hub id, with every tensor from its weights.

    Tensors that the network does not have are passed over: published files hold heads and buffers of other versions.

    unused: the names, as a regular expression, of tensors that the network has and does not compute with

    Raises: CheckpointError that names tensors which are missing or of another shape; what
    `from_pretrained` raises.
    """
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # they are named below
    network, seen = kind.from_pretrained(source, **options)
    missing = [name for name in sorted(seen["missing_keys"]) if unused is None or not re.search(unused, name)]
    misshaped = [
        f"{name} {list(stored)} instead of {list(own)}" for name, stored, own in sorted(seen["mismatched_keys"])
    ]
    faults = unfit(missing, [], misshaped)
    if faults:
        raise CheckpointError(f"The weights in {source} do not fit the {what}. {faults}.")
    return network
