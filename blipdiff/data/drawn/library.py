"""The whole library in one call: sources fetched, subjects cut out, scenes painted."""

from pathlib import Path

from blipdiff.data.drawn.scenes import build_scenes
from blipdiff.data.drawn.sources import fetch_sources
from blipdiff.data.drawn.subjects import Progress, build_subjects


def build_library(
    cache: Path, out: Path, *, side: int = 128, per_scene: int = 150, progress: Progress | None = None
) -> tuple[int, int]:
    """Fetches into `cache` what it lacks, writes the library to `out`; gives the numbers of subjects and scenes.

    `progress(what, count)` is called after every picture.
    """
    fetch_sources(cache)
    subjects = build_subjects(cache, out, side, progress=progress)
    scenes = build_scenes(out, per_scene, side=side, progress=progress)
    return subjects, scenes
