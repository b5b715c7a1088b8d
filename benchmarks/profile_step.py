"""One full-size step by operator: where its time goes, and at what rate; a table for docs/speed.md.

    python benchmarks/profile_step.py [--side 512] [--dtype bfloat16] [--kernel auto] [--least 0.5]

The U-Net of Stable Diffusion with random weights computes one guided step (two rows) in channels_last, after one that
is not counted. Operators are told apart by the shapes that decide their rate, and their own time is counted alone, so
that the shares add up. GFLOP/s stand where the operations follow from the shapes: products, convolutions, attention.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from diffusers import UNet2DConditionModel
from full_size import filled, inputs, matmul_rate, median_seconds, name_of
from torch.profiler import ProfilerActivity, profile

from blipdiff.checkpoints import configs
from blipdiff.devices import DTYPES, Placement
from blipdiff.sampling.acceleration import SDPA, attention_kernel, fit

Shape: TypeAlias = Sequence[int]


@dataclass(frozen=True, slots=True)
class Row:
    """One operator at one size: its own seconds, and the floating-point operations of all its calls."""

    name: str
    calls: int
    seconds: float
    operations: float


def main() -> None:
    """Prints the table."""
    options = parsed()
    torch.manual_seed(0)
    dtype = DTYPES[options.dtype]
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(configs.SD15_UNET))
    unet, place = filled(unet, dtype).to(memory_format=torch.channels_last), Placement(torch.device("cpu"), dtype)
    kernel = attention_kernel(place) if options.kernel == "auto" else SDPA
    if options.kernel == "auto":
        fit(unet, place)
    latents, timestep, context = inputs(options.side // 8, dtype)
    latents = latents.to(memory_format=torch.channels_last)
    with torch.no_grad():
        seconds = median_seconds(lambda: unet(latents, timestep, context), repeats=options.repeats)
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
            unet(latents, timestep, context)
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {name_of(dtype)}, {options.side} px, {kernel}: "
        f"{seconds:.2f} s a step; a matrix product of 2048: {matmul_rate(dtype) / 1e9:.0f} GFLOP/s.\n"
    )
    print_table(rows_of(profiled), options.least / 100)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512, help="of the picture, in pixels")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bfloat16")
    parser.add_argument("--kernel", choices=["auto", "fused"], default="auto", help="of attention: ours, or SDPA alone")
    parser.add_argument("--least", type=float, default=0.5, help="percent of the step below which rows become 'other'")
    parser.add_argument("--repeats", type=int, default=2)
    return parser.parse_args()


def rows_of(profiled: Any) -> list[Row]:
    """The operators, the slowest first, those of one name and size together."""
    found: dict[str, Row] = {}
    for event in profiled.key_averages(group_by_input_shape=True):
        seconds = event.self_cpu_time_total / 1e6
        if seconds == 0:
            continue
        name, operations = told_apart(event.key.removeprefix("aten::"), event.input_shapes)
        before = found.get(name, Row(name, 0, 0.0, 0.0))
        found[name] = Row(
            name, before.calls + event.count, before.seconds + seconds, before.operations + operations * event.count
        )
    return sorted(found.values(), key=lambda row: -row.seconds)


def told_apart(operator: str, shapes: Sequence[Shape]) -> tuple[str, float]:
    """An operator with the sizes that decide its rate, and the floating-point operations of one call, 0 where unknown.

    shapes: of its arguments
    """
    if operator in ("mm", "addmm"):
        (lines, inner), (_, columns) = shapes[:2] if operator == "mm" else shapes[1:3]
        return f"linear, {inner} -> {columns}, {lines} places", 2.0 * lines * inner * columns
    if operator in ("bmm", "baddbmm"):
        (count, lines, inner), (_, _, columns) = shapes[:2] if operator == "bmm" else shapes[1:3]
        return f"product of {count}, {lines} x {inner} by {inner} x {columns}", 2.0 * count * lines * inner * columns
    if operator == "mkldnn_convolution":
        (rows, _, height, width), (out, into, *window) = shapes[:2]
        operations = 2.0 * rows * height * width * out * into * math.prod(window)
        return f"convolution {window[0]} x {window[1]}, {into} -> {out} at {height} x {width}", operations
    if operator.startswith("_scaled_dot_product"):
        (rows, heads, queries, wide), (_, _, keys, _) = shapes[:2]
        return f"SDPA, {queries} by {keys}, {heads} heads of {wide}", 4.0 * rows * heads * queries * keys * wide
    return operator, 0.0


def print_table(rows: Sequence[Row], least: float) -> None:
    """The rows in Markdown; those under `least`, a share of all, are one row at the end."""
    total = sum(row.seconds for row in rows)
    print("| operator | calls | seconds | share | GFLOP/s |\n| --- | --- | --- | --- | --- |")
    for row in (row for row in rows if row.seconds >= least * total):
        rate = f"{row.operations / row.seconds / 1e9:.0f}" if row.operations else ""
        print(f"| {row.name} | {row.calls} | {row.seconds:.3f} | {row.seconds / total:.1%} | {rate} |")
    rest = [row for row in rows if row.seconds < least * total]
    seconds = sum(row.seconds for row in rest)
    print(f"| others | {sum(row.calls for row in rest)} | {seconds:.3f} | {seconds / total:.1%} | |")
    print(f"| **all** | | {total:.3f} | | {sum(row.operations for row in rows) / total / 1e9:.0f} |")
    print("\n| kind | seconds | share | GFLOP/s |\n| --- | --- | --- | --- |")
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.name.partition(",")[0].split(" of ")[0], []).append(row)
    for kind, those in sorted(kinds.items(), key=lambda one: -sum(row.seconds for row in one[1])):
        seconds = sum(row.seconds for row in those)
        if seconds >= least * total:
            rate = sum(row.operations for row in those) / seconds / 1e9
            print(f"| {kind} | {seconds:.3f} | {seconds / total:.1%} | {f'{rate:.0f}' if rate else ''} |")


if __name__ == "__main__":
    main()
