"""What a describer can tell of a photo's patches: colours by its captioner, things by its matcher, places by contrast.

Which head tells what was measured, and so were the numbers here: logistic regressions on 350 subjects of an artist
whose drawings were not trained on, tried on 350 others of hers.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from blipdiff.language.questions import COLOURS, with_article
from blipdiff.models.describer import Describer

Shares: TypeAlias = tuple[tuple[str, float], ...]  # of possible answers, the likeliest first

# weights of the evidence that something is true, in logits, and a constant
_THING = (0.42, 0.544, -0.11)  # the match, and by how many deviations the name is likelier than those known
_COLOUR = (0.67, 1.63)  # the colour's share among all
_PLACE = (35.4, -22.4)  # the cosine
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
    name = describer.readable(thing)
    match = torch.logit(describer.matches(patches, [describer.readable(with_article(thing))]), eps=_EPS)
    known = describer.network.itc(describer.network.picture_features(patches), describer.category_features).detach()
    deviations = (describer.likenesses(patches, [name]) - known.mean()) / known.std()
    return _chance(_THING[0] * float(match) + _THING[1] * float(deviations) + _THING[2])


def colour_chance(describer: Describer, patches: Tensor, thing: str, colour: str) -> float:
    """That a thing of the photo has this colour, from 0 to 1."""
    share = min(max(dict(colours(describer, patches, thing))[colour], _EPS), 1 - _EPS)
    return _chance(_COLOUR[0] * math.log(share / (1 - share)) + _COLOUR[1])


def place_chance(describer: Describer, patches: Tensor, thing: str, place: str) -> float:
    """That a thing of the photo is there, "on a beach", from 0 to 1."""
    text = describer.readable(f"{with_article(thing)} {place}")
    return _chance(_PLACE[0] * float(describer.likenesses(patches, [text])) + _PLACE[1])


def _chance(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))
