"""What a LoRA and its cousins add to a layer's weight, as products of the small matrices in their files."""

from collections.abc import Mapping

import torch
from torch import Tensor

NEEDED = {  # the pieces that a change is made of, by its kind: those of which one set must be whole
    "LoRA": (("down", "up"),),
    "LoHa": (("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),),
    "LoKr": tuple(
        (*one, *two)
        for one in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
        for two in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"))
    ),
}


def kind_of_change(pieces: Mapping[str, Tensor]) -> str:
    """LoRA, LoHa or LoKr, by the names of its pieces."""
    first = next(iter(pieces), "")
    return "LoHa" if first.startswith("hada") else "LoKr" if first.startswith("lokr") else "LoRA"


def is_whole(pieces: Mapping[str, Tensor]) -> bool:
    """Whether nothing is missing of a change."""
    return any(set(needed) <= set(pieces) for needed in NEEDED[kind_of_change(pieces)])


def rank(pieces: Mapping[str, Tensor]) -> int | None:
    """By which alpha is divided; None where no piece was made smaller, so that alpha says nothing."""
    if "down" in pieces:
        return pieces["down"].shape[0]
    first = next((pieces[name] for name in ("hada_w1_b", "lokr_w1_b", "lokr_w2_b") if name in pieces), None)
    return None if first is None else first.shape[0]


def product(pieces: Mapping[str, Tensor]) -> Tensor:
    """What is added at scale 1: (out, in[, h, w]), or (out, in * h * w).

    LoRA (Hu et al. 2021, arXiv:2106.09685): up @ down. LoHa (Hyeon-Woo et al. 2021, arXiv:2108.06098): two such,
    multiplied element by element. LoKr (Yeh et al. 2023, arXiv:2309.14859): the Kronecker product of two matrices.
    """
    own = {name: one.float() for name, one in pieces.items()}
    kind = kind_of_change(pieces)
    if kind == "LoRA" and "mid" in own:  # a convolution of h x w between two of 1 x 1
        return torch.einsum("or,rshw,si->oihw", own["up"].flatten(1), own["mid"], own["down"].flatten(1))
    if kind == "LoRA":
        return own["up"].flatten(1) @ own["down"].flatten(1)
    if kind == "LoHa":
        one, two = (_rebuilt(own.get(f"hada_t{n}"), own[f"hada_w{n}_a"], own[f"hada_w{n}_b"]) for n in (1, 2))
        return one * two
    first = own["lokr_w1"] if "lokr_w1" in own else own["lokr_w1_a"] @ own["lokr_w1_b"]
    second = own["lokr_w2"] if "lokr_w2" in own else _rebuilt(own.get("lokr_t2"), own["lokr_w2_a"], own["lokr_w2_b"])
    return torch.kron(first.reshape(*first.shape, *(1,) * (second.ndim - 2)), second)


def _rebuilt(core: Tensor | None, one: Tensor, two: Tensor) -> Tensor:
    """one @ two; around a core (rank, rank, h, w) where there is one: (rank, out), (rank, in) -> (out, in, h, w)."""
    return one @ two.flatten(1) if core is None else torch.einsum("rshw,ro,si->oihw", core, one, two)
