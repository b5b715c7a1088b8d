"""Attention on a processor by torch's fused kernel and by tiles of plain products, at the sizes of Stable Diffusion.

    python benchmarks/attention_kernels.py [--dtype bfloat16] [--tiles 19 20 21 22 23] [--only 1024] [--seconds 1]

For each layer of a guided step at 512 pixels, and of four guided pictures of the bundled model: the time of SDPA, and
how many times as fast tiles are whose scores are so many (`TILE_SCORES` in `blipdiff/attention/tiled.py`). What a tenth
of the runs stay under is what counts, so that other work on the machine tells less.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from blipdiff.attention import tiled
from blipdiff.devices import DTYPES, attends_slowly

# rows, heads, queries, keys, width of a head
SIZES = (
    (2, 8, 4096, 4096, 40),
    (2, 8, 1024, 1024, 80),
    (2, 8, 256, 256, 160),
    (2, 8, 64, 64, 160),
    (2, 8, 4096, 77, 40),
    (2, 8, 1024, 77, 80),
    (2, 8, 256, 77, 160),
    (1, 1, 4096, 4096, 512),  # the VAE's decoder
    (8, 3, 256, 256, 32),
    (8, 6, 64, 64, 32),
    (8, 3, 256, 77, 32),
    (8, 6, 64, 77, 32),
)


def main() -> None:
    """Prints the table."""
    options = parsed()
    dtype = DTYPES[options.dtype]
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {options.dtype}; here tiles are "
        f"{'used' if attends_slowly() else 'not used'} in bfloat16.\n"
    )
    head = " | ".join(f"2^{power}" for power in options.tiles)
    print(f"| rows x heads | queries by keys, width | SDPA, ms | GFLOP/s | {head} | best GFLOP/s |")
    print("| --- | --- | --- | --- |" + " --- |" * (len(options.tiles) + 1))
    for rows, heads, queries, keys, width in SIZES:
        if options.only and queries not in options.only:
            continue
        query, key, value = (
            torch.randn(rows, count, heads * width).to(dtype).view(rows, count, heads, width).transpose(1, 2)
            for count in (queries, keys, keys)
        )
        with torch.no_grad():
            fused = tenth(lambda: by_sdpa(query, key, value), options.seconds)  # noqa: B023
            found = [by_tiles_seconds(power, query, key, value, options.seconds) for power in options.tiles]
        work = 4 * rows * heads * queries * keys * width / 1e9
        shown = " | ".join(f"{fused / one:.2f} x" for one in found)
        print(
            f"| {rows} x {heads} | {queries} by {keys}, {width} | {1000 * fused:.2f} | {work / fused:.0f} | {shown} "
            f"| {work / min(found):.0f} |",
            flush=True,
        )


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bfloat16")
    parser.add_argument("--tiles", type=int, nargs="+", default=[19, 20, 21, 22, 23], help="powers of two")
    parser.add_argument("--only", type=int, nargs="*", help="layers of so many queries")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    return parser.parse_args()


def by_sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """As diffusers' processor does it. (rows, heads, places, width) -> (rows, queries, heads * width)"""
    return scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def by_tiles(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """As `TiledProcessor` does it, the way to its layout and back included."""
    mixed = tiled.tiled_attention(*(one.flatten(0, 1).contiguous() for one in (query, key, value)))
    return mixed.unflatten(0, query.shape[:2]).transpose(1, 2).flatten(2)


def by_tiles_seconds(power: int, query: Tensor, key: Tensor, value: Tensor, seconds: float) -> float:
    """The time of tiles of 2 ** power scores."""
    before = tiled.TILE_SCORES
    tiled.TILE_SCORES = 2**power
    try:
        return tenth(lambda: by_tiles(query, key, value), seconds)
    finally:
        tiled.TILE_SCORES = before


def tenth(work: Callable[[], object], seconds: float) -> float:
    """Of all runs within some seconds, the time that a tenth of them stay under."""
    work()
    times, end = list[float](), time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 10]


if __name__ == "__main__":
    main()
