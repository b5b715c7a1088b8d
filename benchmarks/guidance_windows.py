"""What guidance in a part of the run alone saves, and how far its pictures go from those of the whole run.

    python benchmarks/guidance_windows.py LIBRARY [--model mini] [--pairs 16]

LIBRARY: a prepared library (docs/training.md); its held-out artist's subjects. A call with guidance computes two rows
of the U-Net, one without computes one. Windows from both ends, by the model's balanced speed; the median and the least
of the peak signal-to-noise ratio, in dB, against the same run with guidance throughout.
"""

import torch
from fitted_steps import command_line, decibels, drawn, unseen

from blipdiff.moment import Moment, Window
from pipelines.plan import calls_of
from pipelines.studio import Studio

WINDOWS = ((0.0, 0.9), (0.0, 0.8), (0.0, 0.6), (0.0, 0.4), (0.1, 1.0), (0.2, 1.0), (0.4, 1.0), (0.2, 0.8))


def main() -> None:
    """Prints one table."""
    options = command_line(__doc__).parse_args()
    studio = Studio.open(options.model, dtype=options.dtype)
    pairs = unseen(options)
    calls = calls_of(studio.model)["balanced"]
    wanted = drawn(studio, pairs, options, speed="balanced")
    print("| guided part | rows saved | median dB | least dB |\n| --- | --- | --- | --- |")
    for start, stop in WINDOWS:
        found = drawn(studio, pairs, options, speed="balanced", guidance_start=start, guidance_stop=stop)
        held = sum(Window(start, stop).holds(Moment(call, calls, torch.tensor(0))) for call in range(calls))
        median, least = decibels(found, wanted)
        print(
            f"| {start:g} to {stop:g} | {(calls - held) / (2 * calls):.0%} | {median:.1f} | {least:.1f} |", flush=True
        )


if __name__ == "__main__":
    main()
