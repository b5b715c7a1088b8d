"""Names and limits that requests are checked against; importing them loads no library."""

LARGEST_SEED = 2**63 - 1

USUAL_GUIDANCE = 7.5  # Stable Diffusion's, for models that name none of their own
MOST_GUIDANCE = 50.0

MOST_EXTRAPOLATION = 1.0  # how far a blend's share may leave the span from 0 to 1

AS_CONFIGURED = "as configured"
SCHEDULER_NAMES = ("pndm", "ddim", "dpm++2m", "dpm++2m-karras", "unipc", "euler", "euler-a", "lcm", "tcd")
USUAL_SCHEDULER = "unipc"  # fewest U-Net calls for agreement with its own 200 steps: docs/schedulers.md
USUAL_STEPS = 20
FITTED = "fitted"  # a model's own steps: blipdiff/models/step_tables.py
TABLED_NAMES = (FITTED, "ays", "gits")  # schedulers whose steps stand in tables

MOST_CALLS = 100  # of fitted steps

# Deep features kept between calls: blipdiff/sampling/caching.py
MOST_INTERVAL = 10  # calls that share them
MOST_BRANCH = 4  # layers

# The dial: how near a picture comes to the converged one, and the even steps that do it where no steps are fitted.
SPEEDS = ("exact", "balanced", "fast")
USUAL_SPEED = "balanced"
EVEN_STEPS = {"exact": 50, "balanced": 20, "fast": 10}
SPEED_DECIBELS = {"exact": 42.0, "balanced": 35.0, "fast": 30.0}  # of the median picture, where steps are fitted

# The layers of a U-Net by which a subject may enter, and what they are for (see blipdiff/attention/injection.py).
INJECTION_BLOCKS = {"all": ("down", "mid", "up"), "look": ("up",), "layout": ("down", "mid")}

TORCH = "torch"
INT8 = "openvino-int8"
ENGINES = ("auto", TORCH, "openvino", INT8)  # what computes the networks: docs/speed.md

RESAMPLING_NAMES = ("bicubic", "lanczos")  # how control pictures are resized

# Sizes: above FAR_TIMES a model's own pixels its user is warned, above OWN_TIMES nothing is drawn.
FAR_TIMES = 2.25
MOST_SIDES = 4  # of a picture: above so many times the other, a side is warned of as well
OWN_TIMES = 16


def duration(seconds: float) -> str:
    """A length of time in the two figures that a person wants of it."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


KNOWN_THINGS = "the bundled describer knows drawn things on plain ground, and no photographs."
