"""Training data: public subjects with exact masks, scenes and styles drawn by code, and pairs of them."""

from blipdiff.data.library import build_library
from blipdiff.data.pairs import PairLibrary, Split, composite, premultiplied, split_of, warped
from blipdiff.data.records import Pair, Pixels, SubjectRecord
from blipdiff.data.scenes import SCENES, Scene, SceneRecord, build_scenes, paint_scene
from blipdiff.data.sources import SOURCES, Drawing, Source, fetch_sources, read_drawings
from blipdiff.data.styles import STYLES, Style
from blipdiff.data.subjects import Progress, build_subjects, is_held_out

__all__ = [
    "SCENES",
    "SOURCES",
    "STYLES",
    "Drawing",
    "Pair",
    "PairLibrary",
    "Pixels",
    "Progress",
    "Scene",
    "SceneRecord",
    "Source",
    "Split",
    "Style",
    "SubjectRecord",
    "build_library",
    "build_scenes",
    "build_subjects",
    "composite",
    "fetch_sources",
    "is_held_out",
    "paint_scene",
    "premultiplied",
    "read_drawings",
    "split_of",
    "warped",
]
