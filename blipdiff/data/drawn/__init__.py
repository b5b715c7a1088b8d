"""The small model's data set: public subjects with exact masks, scenes, styles and shapes drawn by code."""

from blipdiff.data.drawn.library import build_library
from blipdiff.data.drawn.packages import Drawing, Source
from blipdiff.data.drawn.scenes import SCENES, Scene, build_scenes, paint_scene
from blipdiff.data.drawn.sources import LEARNED_ONLY, SOURCES, fetch_sources, read_drawings
from blipdiff.data.drawn.styles import STYLES, Style
from blipdiff.data.drawn.subjects import Progress, build_subjects, is_held_out

__all__ = [
    "LEARNED_ONLY",
    "SCENES",
    "SOURCES",
    "STYLES",
    "Drawing",
    "Progress",
    "Scene",
    "Source",
    "Style",
    "build_library",
    "build_scenes",
    "build_subjects",
    "fetch_sources",
    "is_held_out",
    "paint_scene",
    "read_drawings",
]
