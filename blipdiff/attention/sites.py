"""The attention layers of a U-Net, as everything that listens to them names them."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Block: TypeAlias = Literal["down", "mid", "up"]
Kind: TypeAlias = Literal["self", "cross"]


@dataclass(frozen=True, slots=True)
class AttentionSite:
    """One attention layer of the U-Net."""

    name: str  # the module's: "up_blocks.1.attentions.0.transformer_blocks.0.attn2"
    block: Block
    kind: Kind
