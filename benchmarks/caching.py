"""Whether deep features kept between calls beat fewer calls at equal cost (DeepCache: Ma et al., arXiv:2312.00858).

    python benchmarks/caching.py LIBRARY [--model mini] [--pairs 16]

LIBRARY: a prepared library (docs/training.md); its held-out artist's subjects. Cost: whole calls that the run's
operations amount to. The median and the least of the peak signal-to-noise ratio, in dB, against the same noise's
pictures after 200 steps of UniPC.
"""

from fitted_steps import REFERENCE, command_line, decibels, drawn, unseen

from blipdiff.models.caching import Caching
from blipdiff.ranges import MOST_BRANCH
from blipdiff.sampling.cost import shallow_share
from pipelines.studio import Studio

RUNS = (  # scheduler, its calls, the intervals that are tried
    ("fitted", (5, 6, 8, 12), (1, 2, 3)),
    ("unipc", (10, 15, 20, 30), (1, 2, 3, 5)),
)


def main() -> None:
    """Prints one table."""
    parser = command_line(__doc__)
    parser.add_argument("--branches", type=int, nargs="+", default=[0, MOST_BRANCH])
    options = parser.parse_args()
    studio = Studio.open(options.model, dtype=options.dtype)
    pairs = unseen(options)
    wanted = drawn(studio, pairs, options, scheduler="unipc", steps=REFERENCE)
    print("| steps | calls | one whole of | branch | cost in whole calls | median dB | least dB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, numbers, intervals in RUNS:
        for steps in numbers:
            for interval in intervals:
                for branch in options.branches if interval > 1 else options.branches[-1:]:
                    kept = Caching(interval, branch)
                    asked = {"cache_interval": interval, "cache_branch": branch}
                    found = drawn(studio, pairs, options, scheduler=name, steps=steps, **asked)
                    cost = kept.cost(steps, shallow_share(studio.model, branch))
                    told = [name, steps, interval, branch if kept.is_on else "", f"{cost:.1f}"]
                    print(
                        "|",
                        " | ".join(map(str, (*told, *map("{:.1f}".format, decibels(found, wanted))))),
                        "|",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
