"""The processes that train together: which micro-batches each takes, and how their gradients become one.

A step's gradient is the mean over its micro-batches, each drawn and noised from its own number: so two processes
with one micro-batch each do what one process does with two, up to the order in which numbers are added.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from accelerate import PartialState
from torch import Tensor, distributed, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.distributed.tensor import DTensor, distribute_tensor

from blipdiff.errors import ConfigError
from blipdiff.models.layers import Block
from blipdiff.models.qformer import Layer

_BUCKET_NUMBERS = 25_000_000  # of gradients that are averaged in one message: 100 MB
_UNET_PARTS = ("down_blocks", "mid_block", "up_blocks")


@dataclass(frozen=True, slots=True)
class Workers:
    """This process among those that train together; by default it is alone, on the processor."""

    count: int = 1
    rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    sharded: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, micro_batches: int) -> range:
        """The numbers of this process's micro-batches among those of a step.

        Raises: ConfigError when they cannot be shared out evenly.
        """
        if micro_batches % self.count:
            raise ConfigError(
                f"The recipe's {micro_batches} micro-batches a step cannot be shared among {self.count} processes; "
                "set 'accumulate' to a multiple of their number."
            )
        return range(self.rank, micro_batches, self.count)

    def place(self, network: nn.Module) -> None:
        """Move the network to this process's device; where it is sharded, each process keeps its part (FSDP).

        Zhao et al. 2023, arXiv:2304.11277, in PyTorch's second form, which leaves names and parameters as they are.
        """
        network.to(self.device)
        if not self.sharded:
            return
        from torch.distributed.fsdp import fully_shard

        for block in blocks_of(network):
            fully_shard(block)
        fully_shard(network)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """The mean of all processes' gradients, in every process; sharded ones are averaged as they are made."""
        if self.count == 1 or self.sharded:
            return
        for parameter in parameters:
            if parameter.grad is None:  # every process sends the same numbers in the same order
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
            flat = _flatten_dense_tensors(bucket)
            distributed.all_reduce(flat)
            flat /= self.count
            for gradient, mean in zip(bucket, _unflatten_dense_tensors(flat, bucket), strict=True):
                gradient.copy_(mean)

    def mean(self, values: Iterable[float]) -> list[float]:
        """The means of all processes' values."""
        if self.count == 1:
            return list(values)
        together = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        distributed.all_reduce(together)
        return [float(value) for value in together / self.count]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Workers()


def workers_of_this_run(*, sharded: bool = False) -> Workers:
    """This process as `accelerate launch` started it; alone on the best device without it.

    Raises: ConfigError when a network shall be sharded and there is only one process.
    """
    state = PartialState(cpu=not torch.cuda.is_available())
    if sharded and state.num_processes == 1:
        raise ConfigError(
            "The recipe shards the network among processes, and there is one; start it with "
            "'accelerate launch -m app train RECIPE', or set 'shard' to false."
        )
    return Workers(state.num_processes, state.process_index, state.device, sharded)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The parts that are sharded, or computed again in the backward pass, one by one: transformer and U-Net blocks."""
    blocks: list[nn.Module] = [part for part in network.modules() if isinstance(part, Block | Layer)]
    for name, part in network.named_modules():
        if name.rpartition(".")[2] in _UNET_PARTS:
            blocks += list(part) if isinstance(part, nn.ModuleList) else [part]
    return blocks


def whole(tensor: Tensor) -> Tensor:
    """A tensor that may be sharded, whole, on the processor or where it is; every process has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """A copy of a whole tensor on the device, in the type and memory format of `other`, and sharded as it is.

    Sums run in the order of the memory format: with another one a resumed run rounds differently.
    """
    tensor = tensor.to(other.device, other.dtype)
    if isinstance(other, DTensor):
        tensor = distribute_tensor(tensor, other.device_mesh, other.placements)
    return torch.empty_like(other, memory_format=torch.preserve_format, requires_grad=False).copy_(tensor)


def _buckets(gradients: list[Tensor]) -> Iterable[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        bucket.append(gradient)
        if sum(one.numel() for one in bucket) > _BUCKET_NUMBERS:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
