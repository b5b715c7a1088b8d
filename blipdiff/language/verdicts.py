"""What a describer can tell of a photo's patches: colours by its captioner, things by its matcher, places by contrast.

Which head tells what was measured, and so were the numbers here: logistic regressions on 350 subjects of an artist
whose drawings were not trained on, tried on others of theirs (benchmarks/asking.py).
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from blipdiff.language.questions import COLOURS, PLACES, with_article
from blipdiff.models.describer import Describer

Shares: TypeAlias = tuple[tuple[str, float], ...]  # of possible answers, the likeliest first

# of the evidence that something is true: its weights, then a constant, in logits
_THING = (0.276, 0.904, -1.743)
_COLOUR = (0.946, 1.666)
_PLACE = (30.815, -17.674)
_SAME_PLACE = 0.85  # cosine of two texts that name the same place: of those known 0.94 and more, of others 0.8
_EPS = 1e-6


def ranked(options: Sequence[str], shares: Sequence[float]) -> Shares:
    """Options with their shares, the likeliest first."""
    return tuple(sorted(zip(options, shares, strict=True), key=lambda one: -one[1]))


def colours(describer: Describer, patches: Tensor, thing: str, among: Sequence[str] = COLOURS) -> Shares:
    """Colours by how likely the captioner calls the thing so."""
    captions = [describer.readable(f"{with_article(colour)} {thing}") for colour in among]
    likely = describer.caption_scores(patches.expand(len(captions), -1, -1), captions)
    return ranked(among, likely.softmax(dim=0).tolist())


def likeliest(describer: Describer, patches: Tensor, options: Sequence[str]) -> Shares:
    """Names by image-text contrast."""
    cosines = describer.likenesses(patches, [describer.readable(one) for one in options])[0]
    return ranked(options, (cosines / describer.network.temp.detach().float()).softmax(dim=0).tolist())


def thing_chance(describer: Describer, patches: Tensor, thing: str) -> float:
    """That the photo shows this, from 0 to 1."""
    return _chance(_THING, thing_evidence(describer, patches, thing))


def colour_chance(describer: Describer, patches: Tensor, thing: str, colour: str) -> float:
    """That a thing of the photo has this colour, from 0 to 1."""
    return _chance(_COLOUR, colour_evidence(describer, patches, thing, colour))


def place_chance(describer: Describer, patches: Tensor, thing: str, place: str) -> float:
    """That a thing of the photo is there, "on a beach", from 0 to 1."""
    return _chance(_PLACE, place_evidence(describer, patches, thing, place))


def place_share(describer: Describer, patches: Tensor, thing: str, place: str) -> float:
    """The share of a place among those that are known and mean another one, from 0 to 1, by contrast."""
    texts = [describer.readable(f"{with_article(thing)} {one}") for one in (place, *PLACES)]
    own, *others = describer.text_features(texts)
    kept = [text for text, one in zip(texts[1:], others, strict=True) if float(own @ one) < _SAME_PLACE]
    return dict(likeliest(describer, patches, [texts[0], *kept]))[texts[0]]


def thing_evidence(describer: Describer, patches: Tensor, thing: str) -> list[float]:
    """The match in logits, and by how many deviations the name is likelier than those known."""
    match = torch.logit(describer.matches(patches, [describer.readable(with_article(thing))]), eps=_EPS)
    known = describer.network.itc(describer.network.picture_features(patches), describer.category_features).detach()
    deviations = (describer.likenesses(patches, [describer.readable(thing)]) - known.mean()) / known.std()
    return [float(match), float(deviations)]


def colour_evidence(describer: Describer, patches: Tensor, thing: str, colour: str) -> list[float]:
    """The colour's share among all, in logits."""
    share = min(max(dict(colours(describer, patches, thing))[colour], _EPS), 1 - _EPS)
    return [math.log(share / (1 - share))]


def place_evidence(describer: Describer, patches: Tensor, thing: str, place: str) -> list[float]:
    """The cosine of photo and text."""
    text = describer.readable(f"{with_article(thing)} {place}")
    return [float(describer.likenesses(patches, [text]))]


def _chance(fitted: Sequence[float], evidence: Sequence[float]) -> float:
    *weights, constant = fitted
    logit = sum(weight * one for weight, one in zip(weights, evidence, strict=True)) + constant
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))
