"""Training data of any lab: pairs of subjects and scenes, shards of photos, mattes, captions; `drawn` is mini's own."""

from blipdiff.data.composites import composite, premultiplied, warped
from blipdiff.data.pairs import PairLibrary, Split, split_of
from blipdiff.data.records import Pair, Pixels, SceneRecord, SubjectRecord

__all__ = [
    "Pair",
    "PairLibrary",
    "Pixels",
    "SceneRecord",
    "Split",
    "SubjectRecord",
    "composite",
    "premultiplied",
    "split_of",
    "warped",
]
