"""Photos named and captioned by one network each: a describer, BLIP's pair, or an engine that is asked.

A folder's own config.json says which network lies in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.describer import BUNDLED_DESCRIBER, load_describer
from blipdiff.devices import Placement
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.images import PhotoFit
from blipdiff.language.answers import LIKELIEST, Engine, Speaking
from blipdiff.language.captioners import (
    BlipCaptioner,
    BlipMatcher,
    Captioner,
    DescriberCaptions,
    Matcher,
    load_captioner,
    load_matcher,
)
from blipdiff.language.engines import CAPTIONER, ENGINES, MATCHER, part_folder
from blipdiff.models.describer import Describer

NAMING = "what is the main thing in the picture?"
DESCRIBING = ("mini-describe", "blip", "blip-2", "instructblip")
_ASKED = ("blip-2", "instructblip")
_LOOKED_AT = 32  # of all names, the nearest by contrast, which the matcher looks at closely
_PHOTO_NAME = "a photo of a {}"


class Describing(Captioner, Matcher, Protocol):
    """Says what photos show."""

    @property
    def name(self) -> str:
        """By which it is asked for."""
        ...

    def named(self, photo: Image.Image, count: int) -> tuple[tuple[str, float], ...]:
        """The likeliest names with their chances, from 0 to 1, the likeliest first."""
        ...


@dataclass(frozen=True, slots=True)
class DescriberNames:
    """A describer of this project."""

    describer: Describer
    fit: PhotoFit = "pad"

    @property
    def name(self) -> str:
        """That of the describer."""
        return self.describer.name

    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """The likeliest one, or `count` drawn ones."""
        return DescriberCaptions(self.describer, self.fit).captions(photo, count, speaking)

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """From 0 to 1, for each text."""
        return DescriberCaptions(self.describer, self.fit).matches(photo, texts)

    def named(self, photo: Image.Image, count: int) -> tuple[tuple[str, float], ...]:
        """By image-text contrast, among all that it knows."""
        return self.describer.ranked(self.describer.patches([photo], fit=self.fit))[0][:count]


@dataclass(frozen=True, slots=True)
class BlipPair:
    """BLIP's captioner and matcher; names: what the matcher chooses from."""

    captioner: BlipCaptioner
    matcher: BlipMatcher
    names: tuple[str, ...]
    name: str = "blip"

    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """The likeliest one, or `count` drawn ones."""
        return self.captioner.captions(photo, count, speaking)

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """From 0 to 1, for each text."""
        return self.matcher.matches(photo, texts)

    def named(self, photo: Image.Image, count: int) -> tuple[tuple[str, float], ...]:
        """The nearest names by contrast, then by match, as BLIP retrieves texts (arXiv:2201.12086, sec. 5.1)."""
        texts = [_PHOTO_NAME.format(name) for name in self.names]
        near = self.matcher.likenesses(photo, texts).argsort(descending=True, stable=True)[: max(count, _LOOKED_AT)]
        places = near.tolist()
        matches = self.matcher.matches(photo, [texts[place] for place in places])
        found = [(self.names[place], match) for place, match in zip(places, matches, strict=True)]
        return tuple(sorted(found, key=lambda one: -one[1])[:count])


@dataclass(frozen=True, slots=True)
class AskedNames:
    """An engine that is asked for the names: shares are those of its beams."""

    engine: Engine

    @property
    def name(self) -> str:
        """That of the engine."""
        return self.engine.name

    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """The likeliest one, or `count` drawn ones."""
        return self.engine.captions(photo, count, speaking)

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """From 0 to 1, for each text."""
        return self.engine.matches(photo, texts)

    def named(self, photo: Image.Image, count: int) -> tuple[tuple[str, float], ...]:
        """What its beams answer, each text once."""
        answer = self.engine.answer(photo, NAMING, speaking=Speaking(beams=max(2, count), longest=8, length_penalty=-1))
        shares: dict[str, float] = {}
        for text, share in answer.chances:
            shares[text] = shares.get(text, 0.0) + share
        return tuple(sorted(shares.items(), key=lambda one: -one[1])[:count])


def load_describing(
    name: str,
    *,
    weights: Mapping[str, str | Path] | None = None,
    place: Placement,
    fit: PhotoFit = "pad",
    download: bool = False,
) -> Describing:
    """What describes photos under this name; weights: folders or hub ids by part, as `load_engine` takes them.

    Raises: ConfigError for an unknown name, CheckpointError for weights that are missing or do not fit.
    """
    given = dict(weights or {})
    if name == BUNDLED_DESCRIBER:
        return DescriberNames(load_describer(given.get("weights", BUNDLED_DESCRIBER), device=place.device), fit)
    if name not in DESCRIBING:
        raise ConfigError(f"There is no describing engine {name[:60]!r}; choose one of: {', '.join(DESCRIBING)}.")
    if name == "blip":
        folders = {
            part: part_folder(name, of, given.get(part, of.published), download=download)
            for part, of in (("captioner", CAPTIONER), ("matcher", MATCHER))
        }
        matcher = load_matcher(folders["matcher"], place.device)
        return BlipPair(load_captioner(folders["captioner"], place.device), matcher, load_describer().categories)
    part = ENGINES[name].parts["weights"]
    return AskedNames(
        asked_engine(part_folder(name, part, given.get("weights", part.published), download=download), place)
    )


def captioner_in(folder: Path, place: Placement) -> Captioner:
    """The captioner in a folder: BLIP's, BLIP-2 or InstructBLIP. Raises: CheckpointError when there is none."""
    return asked_engine(folder, place) if _model_type(folder) in _ASKED else load_captioner(folder, place.device)


def matcher_in(folder: Path, place: Placement) -> Matcher:
    """The matcher in a folder: BLIP's, or BLIP-2 and InstructBLIP, which are asked. Raises: CheckpointError."""
    return asked_engine(folder, place) if _model_type(folder) in _ASKED else load_matcher(folder, place.device)


def asked_engine(folder: Path, place: Placement) -> Engine:
    """BLIP-2 or InstructBLIP, whichever the folder holds. Raises: CheckpointError when it is neither."""
    found = _model_type(folder)
    if found not in _ASKED:
        raise CheckpointError(f"{folder} holds {found!r}, neither BLIP-2 nor InstructBLIP.")
    from blipdiff.language.conditional import load

    return load(found, {"weights": folder}, place)


def _model_type(folder: Path) -> str:
    config: Mapping[str, Any] = read_json(folder / "config.json")
    return str(config.get("model_type")).replace("_", "-")
