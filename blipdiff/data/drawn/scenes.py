"""Scenes: grounds for a subject, drawn by code, with words that are true of them by construction."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator

from blipdiff.data.drawn import landscapes, patterns, places
from blipdiff.data.drawn.colours import NAMED_COLOURS, finished
from blipdiff.data.drawn.patterns import Painted
from blipdiff.data.drawn.subjects import Progress
from blipdiff.data.records import Pixels, SceneRecord
from blipdiff.data.stored import write_array, write_json


@dataclass(frozen=True, slots=True)
class Scene:
    """A kind of ground: its painter, its wordings, and those that name its colours as {0} and {1}.

    `floor` is the highest place (fraction of the side) where a subject's foot may stand, None where it may float.
    `casts_shadow`: a subject standing there has a soft shadow. `weight` is its share among all scenes.
    """

    name: str
    paint: Callable[[Generator, int], Painted]
    wordings: tuple[str, ...]
    coloured: tuple[str, ...] = ()
    floor: float | None = None
    casts_shadow: bool = False
    weight: float = 1.0


PLAIN_WORDINGS = (
    "on a {0} background",
    "on {0}",
    "in front of a {0} wall",
    "against a {0} background",
    "on a plain {0} background",
)
PLAIN_SCENES = tuple(
    Scene(
        f"plain {name}",
        partial(patterns.paint_plain, name=name),
        ("on a plain background", "on a solid background"),
        PLAIN_WORDINGS,
        weight=0.45,
    )
    for name in NAMED_COLOURS
    if name != "white"
)
SCENES: tuple[Scene, ...] = (
    *PLAIN_SCENES,
    Scene(
        "gradient",
        patterns.paint_gradient,
        ("on a gradient background", "on a color gradient"),
        ("on a {0} and {1} gradient",),
        weight=0.6,
    ),
    Scene(
        "stripes",
        patterns.paint_stripes,
        ("on a striped background", "on stripes", "in front of a striped wall"),
        ("on {0} and {1} stripes", "on a {0} and {1} striped background"),
        weight=0.8,
    ),
    Scene(
        "checks",
        patterns.paint_checks,
        ("on a checkered background", "on a checkerboard", "on a checkered cloth"),
        ("on a {0} and {1} checkered background",),
        weight=0.8,
    ),
    Scene(
        "dots",
        patterns.paint_dots,
        ("on a polka dot background", "on polka dots", "on a dotted background"),
        ("on a {0} background with {1} dots",),
        weight=0.8,
    ),
    Scene("brick wall", patterns.paint_bricks, ("in front of a brick wall", "on a brick wall", "against a brick wall")),
    Scene("wooden floor", patterns.paint_planks, ("on a wooden floor", "on wooden boards", "on wood"), weight=0.6),
    Scene(
        "wooden table",
        places.paint_table,
        ("on a wooden table", "on a table", "on a wooden desk"),
        floor=0.62,
        casts_shadow=True,
    ),
    Scene(
        "room",
        places.paint_room,
        ("in a room", "in a living room", "inside a house", "indoors"),
        floor=0.78,
        casts_shadow=True,
    ),
    Scene(
        "grass field",
        landscapes.paint_grass,
        ("on a grass field", "on grass", "in a meadow", "on a lawn"),
        ("on a green lawn", "on green grass"),
        floor=0.62,
        casts_shadow=True,
    ),
    Scene(
        "flower field",
        landscapes.paint_flowers,
        ("in a flower field", "in a field of flowers", "among flowers"),
        floor=0.6,
    ),
    Scene(
        "beach",
        landscapes.paint_beach,
        ("on a beach", "at the beach", "on the sand by the sea"),
        floor=0.75,
        casts_shadow=True,
    ),
    Scene(
        "snow",
        landscapes.paint_snow,
        ("in the snow", "on snow", "in a snowy landscape", "in winter"),
        floor=0.68,
        casts_shadow=True,
    ),
    Scene("sea", landscapes.paint_sea, ("in the sea", "on the ocean", "on the water", "in the ocean")),
    Scene(
        "forest", landscapes.paint_forest, ("in a forest", "in the woods", "among trees"), floor=0.75, casts_shadow=True
    ),
    Scene(
        "desert",
        landscapes.paint_desert,
        ("in a desert", "in the desert", "on sand dunes"),
        floor=0.62,
        casts_shadow=True,
    ),
    Scene(
        "mountains",
        landscapes.paint_mountains,
        ("in the mountains", "in front of mountains", "with mountains behind"),
        floor=0.75,
    ),
    Scene("sunset", landscapes.paint_sunset, ("at sunset", "in front of a sunset", "under a sunset sky")),
    Scene("rain", landscapes.paint_rain, ("in the rain", "on a rainy day", "in a rainstorm")),
    Scene("road", landscapes.paint_road, ("on a road", "on a highway", "on the street"), floor=0.65, casts_shadow=True),
    Scene("night sky", places.paint_night_sky, ("under a night sky", "under the stars", "at night")),
    Scene("space", places.paint_space, ("in space", "in outer space", "among planets and stars")),
    Scene("moon", places.paint_moon, ("on the moon", "on the surface of the moon"), floor=0.62, casts_shadow=True),
    Scene("city at night", places.paint_city_night, ("in a city at night", "in front of a city at night", "in a city")),
    Scene("fire", places.paint_fire, ("in fire", "in flames", "surrounded by fire")),
    Scene("under water", places.paint_under_water, ("under water", "underwater", "deep under the sea")),
)
WHITE_WORDINGS = (
    "on a white background",
    "on white",
    "in front of a white wall",
    "against a white background",
    "on a plain white background",
)


def paint_scene(scene: Scene, rng: Generator, side: int) -> tuple[Pixels, SceneRecord]:
    """A fresh ground (side, side, 3) of this kind, half the time mirrored, with the words that fit it."""
    picture, colours = scene.paint(rng, side)
    pixels = finished(picture)
    if rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    coloured = tuple(wording.format(*colours).replace("a orange", "an orange") for wording in scene.coloured)
    wordings = coloured if scene in PLAIN_SCENES else (*scene.wordings, *coloured)
    record = SceneRecord(scene.name, wordings, scene.wordings, scene.floor, scene.casts_shadow, scene.weight)
    return pixels, record


def build_scenes(
    out: Path, per_scene: int = 150, *, side: int = 128, seed: int = 0, progress: Progress | None = None
) -> int:
    """Writes a pool of grounds to `scenes.npy` (n, side, side, 3) and `scenes.json`, whole or not at all; gives n."""
    pool = np.empty((len(SCENES) * per_scene, side, side, 3), np.uint8)
    records: list[dict[str, object]] = []
    for kind, scene in enumerate(SCENES):
        for copy in range(per_scene):
            pixels, record = paint_scene(scene, np.random.default_rng((seed, kind, copy)), side)
            pool[len(records)] = pixels
            records.append({field: getattr(record, field) for field in SceneRecord.__slots__})
            if progress is not None:
                progress("scenes", len(records))
    out.mkdir(parents=True, exist_ok=True)
    write_array(out / "scenes.npy", pool)
    write_json(out / "scenes.json", records)
    return len(records)
