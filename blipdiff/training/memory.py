"""Memory of a training: blocks computed again in the backward pass, and a count of bytes that needs no memory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from blipdiff.training.workers import blocks_of

GIGABYTE = 2**30
_FULL, _HALF = 4, 2  # bytes of a number


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What one process keeps on its device while it trains, in bytes."""

    trained: int  # numbers, not bytes
    frozen: int
    weights: int
    copies: int  # of the weights in bfloat16, which products are made of
    gradients: int
    moments: int
    averages: int
    activations: int

    @property
    def total(self) -> int:
        """All of it; libraries and fragments come on top, a gigabyte or two as a rule."""
        return self.weights + self.copies + self.gradients + self.moments + self.averages + self.activations

    def lines(self) -> list[str]:
        """The table as people read it."""
        rows = [
            ("weights in float32", self.weights),
            ("their copies in bfloat16", self.copies),
            ("gradients", self.gradients),
            ("AdamW's two moments", self.moments),
            ("running averages", self.averages),
            ("activations kept for the backward pass", self.activations),
            ("together", self.total),
        ]
        numbers = f"{self.trained / 1e6:,.0f} million numbers are trained, {self.frozen / 1e6:,.0f} million are frozen."
        return [numbers, *(f"{size / GIGABYTE:8.2f} GB  {what}" for what, size in rows)]


def checkpoint_blocks(network: nn.Module) -> None:
    """Make every block forget its insides in the forward pass and compute them again when they are needed.

    Chen et al. 2016, arXiv:1604.06174. Names and parameters stay as they are.
    """
    for block in blocks_of(network):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def kept_bytes(run: Callable[[], object], network: nn.Module, *, checkpointing: bool = False) -> int:
    """Bytes that autograd keeps of a forward pass besides the parameters; each storage counts once.

    Works on the meta device, where tensors have shapes and no memory. Attention counts as plain matrix products
    there, so what a fused kernel saves is a reserve.

    checkpointing: as `checkpoint_blocks` would have it: the inputs of all blocks, and the insides of the largest
    """
    known = {id(parameter) for parameter in network.parameters()}
    blocks = blocks_of(network) if checkpointing else []
    inside: list[nn.Module] = []
    kept: dict[int, tuple[Tensor, nn.Module | None]] = {}
    inputs: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        origin = tensor if tensor._base is None else tensor._base
        if id(origin) not in known:  # held, so that no other tensor gets its number
            kept.setdefault(id(origin), (origin, inside[0] if inside else None))
        return tensor

    def enter(block: nn.Module, given: tuple[object, ...], named: dict[str, object]) -> None:
        if not inside:
            inputs.update({id(one): one for one in [*given, *named.values()] if isinstance(one, Tensor)})
        inside.append(block)

    def leave(_block: nn.Module, _given: object, _made: object) -> None:
        inside.pop()

    watching = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks]
    watching += [block.register_forward_hook(leave) for block in blocks]
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            result = run()
    finally:
        for watcher in watching:
            watcher.remove()
    outside = {number: tensor for number, (tensor, block) in kept.items() if block is None} | inputs
    within: dict[nn.Module, int] = {}
    for tensor, block in kept.values():
        if block is not None:
            within[block] = within.get(block, 0) + tensor.nbytes
    del result
    return sum(tensor.nbytes for tensor in outside.values()) + max(within.values(), default=0)


def plan_memory(network: nn.Module, frozen: Iterable[nn.Module], activations: int, *, shards: int = 1) -> MemoryPlan:
    """Bytes for each process when `network` is trained as the loop does it.

    frozen: networks beside it that only run forward; activations: see `kept_bytes`; shards: processes that
    share the trained numbers (FSDP), 1 where each keeps all
    """
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    still = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    still += sum(p.numel() for part in frozen for p in part.parameters())
    part = -(-trained // shards)
    return MemoryPlan(
        trained=trained,
        frozen=still,
        weights=(part + still) * _FULL,
        copies=(trained + still) * _HALF,
        gradients=part * _FULL,
        moments=2 * part * _FULL,
        averages=part * _FULL,
        activations=activations,
    )
