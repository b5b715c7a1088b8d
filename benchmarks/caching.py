"""Whether deep features kept between calls beat fewer calls at equal cost (DeepCache: Ma et al., arXiv:2312.00858).

    python benchmarks/caching.py LIBRARY [--model mini] [--pairs 16]

LIBRARY: a prepared library (docs/training.md); its held-out artist's subjects. In a shallow call the first level of the
U-Net alone is computed, and what the deeper ones said in the last full call is taken again. Cost: full calls that the
run's operations amount to. The median and the least of the peak signal-to-noise ratio, in dB, against the same noise's
pictures after 200 steps of UniPC.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from fitted_steps import command_line, decibels, drawn, unseen
from torch.utils.flop_counter import FlopCounterMode

from blipdiff.diffusers_types import UNet
from pipelines.studio import Studio

RUNS = (
    ("fitted", 12, (1, 2)),
    ("fitted", 8, (1, 2)),
    ("fitted", 6, (1,)),
    ("unipc", 20, (1, 2, 3, 5)),
    ("unipc", 30, (2, 3, 5)),
)


class DeepFeatures:
    """What the deeper levels of a U-Net said in its last full call; one call of `interval` is full."""

    def __init__(self, unet: UNet, interval: int) -> None:
        self._unet, self._interval, self._call = unet, interval, -1
        self._kept: dict[int, Any] = {}
        self._deep = [*unet.down_blocks[1:], unet.mid_block, *unet.up_blocks[:-1]]

    @contextmanager
    def kept(self) -> Iterator[None]:
        """A block in which they are."""
        own = {id(block): block.forward for block in self._deep}
        first = self._unet.conv_in.register_forward_pre_hook(self._begin)
        for block in self._deep:
            block.forward = self._once(block, own[id(block)])
        try:
            yield
        finally:
            first.remove()
            for block in self._deep:
                block.forward = own[id(block)]

    def _begin(self, *_given: Any) -> None:
        self._call += 1

    def _once(self, block: Any, forward: Any) -> Any:
        def kept(*given: Any, **named: Any) -> Any:
            if self._call % self._interval == 0:
                self._kept[id(block)] = forward(*given, **named)
            return self._kept[id(block)]

        return kept


def main() -> None:
    """Prints one table."""
    options = command_line(__doc__).parse_args()
    options.batch = options.pairs  # one run at a time: what is kept belongs to it
    studio = Studio.open(options.model, dtype=options.dtype)
    pairs, shallow = unseen(options), shallow_share(studio.model.unet)
    print(f"A shallow call has {shallow:.0%} of a full one's operations.\n")
    wanted = drawn(studio, pairs, options, scheduler="unipc", steps=200)
    print("| steps | calls | full: one of | cost in full calls | median dB | least dB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, steps, intervals in RUNS:
        for interval in intervals:
            features = DeepFeatures(studio.model.unet, interval)
            with features.kept():
                found = drawn(studio, pairs, options, scheduler=name, steps=steps)
            full = -(-steps // interval)
            median, least = decibels(found, wanted)
            cost = full + (steps - full) * shallow
            print(f"| {name} | {steps} | {interval} | {cost:.1f} | {median:.1f} | {least:.1f} |", flush=True)


def shallow_share(unet: UNet) -> float:
    """The operations of a shallow call, as a share of a full one's."""
    side, width = int(unet.config.sample_size), int(unet.config.cross_attention_dim)
    given = torch.zeros(1, int(unet.config.in_channels), side, side), torch.tensor(500), torch.zeros(1, 77, width)
    features, counts = DeepFeatures(unet, 2), []
    with features.kept(), torch.no_grad():
        for _ in range(2):
            with FlopCounterMode(display=False) as counter:
                unet(*(one.to(unet.dtype) if one.is_floating_point() else one for one in given))
            counts.append(counter.get_total_flops())
    return counts[1] / counts[0]


if __name__ == "__main__":
    main()
