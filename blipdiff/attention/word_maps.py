"""Word maps: where in a picture the model looks at each word and at the subject, as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from blipdiff.attention.maps import heatmap
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.images import picture_tensor, to_pictures

SUBJECT_NAME = "the subject"
PHOTO_NAME = "its photo"  # where details were read from it

_SHEET_COLUMNS = 5
_SHEET_LARGEST, _SHEET_SMALLEST = 256, 96  # pixels of a picture's width on a sheet
_LABEL, _GAP = 18, 4  # pixels

# Dark blue, teal, yellow-green, yellow: dark to light, and told apart by the colour-blind.
_COLOURS = torch.tensor(
    [[0.27, 0.00, 0.33], [0.23, 0.32, 0.55], [0.13, 0.57, 0.55], [0.37, 0.79, 0.38], [0.99, 0.91, 0.14]]
)


@dataclass(frozen=True, slots=True, eq=False)
class WordMap:
    """Where one word, or the subject, is looked at."""

    word: str
    slots: tuple[int, ...]
    heat: Tensor  # (H, W) in [0, 1]


def word_maps(attention: Tensor, layout: TokenLayout, size: tuple[int, int]) -> tuple[WordMap, ...]:
    """A map for the subject where there is one, then for each word in reading order.

    attention: (height, width, slots) of one row; size: (H, W) in pixels
    """
    spans = list(layout.spans())
    if layout.subject_slots:
        spans.insert(0, (SUBJECT_NAME, layout.subject_slots))
    return tuple(WordMap(word, slots, heatmap(attention, slots, size)) for word, slots in spans)


def overlay(picture: Image.Image, heat: Tensor, opacity: float = 0.6) -> Image.Image:
    """The heat map's colours over the picture, in grey where they lie.

    heat: (H, W) in [0, 1], of the picture's size
    """
    pixels = picture_tensor(picture)
    position = heat.detach().float().cpu().clamp(0, 1) * (len(_COLOURS) - 1)
    below = position.floor().long().clamp(max=len(_COLOURS) - 2)
    share = (position - below)[..., None]
    colours = ((1 - share) * _COLOURS[below] + share * _COLOURS[below + 1]).permute(2, 0, 1)  # (3, H, W)
    mixed = (1 - opacity) * pixels.mean(0, keepdim=True) + opacity * colours
    return to_pictures(mixed[None])[0]


def map_sheet(picture: Image.Image, maps: Sequence[WordMap]) -> Image.Image:
    """The picture, then each word's map over it, under their names: one picture to look at."""
    width = min(max(picture.width, _SHEET_SMALLEST), _SHEET_LARGEST)
    size = (width, max(1, round(width * picture.height / picture.width)))
    shown = [("the picture", picture), *((one.word, overlay(picture, one.heat)) for one in maps)]
    columns = min(len(shown), _SHEET_COLUMNS)
    cell = (size[0] + _GAP, size[1] + _LABEL + _GAP)
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for index, (name, one) in enumerate(shown):
        x, y = _GAP + index % columns * cell[0], _GAP + index // columns * cell[1]
        pen.text((x, y), name, fill="black", font=font)
        sheet.paste(one.resize(size, Image.Resampling.BICUBIC), (x, y + _LABEL))
    return sheet
