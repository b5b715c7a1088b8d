"""DreamBench and DreamBench++: the published protocols of subject-driven generation, on the reader's own copies."""

from blipdiff.evaluation.dreambench.benchmark import Benchmark, BenchPicture, BenchSubject, read_benchmark
from blipdiff.evaluation.dreambench.encoders import CLIP, DINO, Encoders
from blipdiff.evaluation.dreambench.scores import Scored, compared, figures_of

__all__ = [
    "CLIP",
    "DINO",
    "BenchPicture",
    "BenchSubject",
    "Benchmark",
    "Encoders",
    "Scored",
    "compared",
    "figures_of",
    "read_benchmark",
]
