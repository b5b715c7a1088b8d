"""Photos of one subject as it is learned from them, and what there is to say of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.cut_out import reduced
from blipdiff.errors import ImageError, MissingDependencyError
from blipdiff.sampling.cost import own_size
from blipdiff.training.personal_views import SubjectPicture
from pipelines.studio import Studio

_STRANGE = 0.5  # of the photos' usual likeness to each other: one below is hardly of the same thing
_ONE = (
    "There is one photo: it teaches one side of the subject, and another side will be guessed. Three to five photos "
    "from different sides teach more."
)
_MANY = "There are {count} photos; three to five that differ teach as much, and each is learned less often among many."


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """Photos with their subjects cut out.

    rows: (n, 16, width), the zero-shot embedding of each; notices: sentences for the user
    """

    pictures: tuple[SubjectPicture, ...]
    rows: Tensor
    notices: tuple[str, ...]


def read_photos(studio: Studio, images: Sequence[Image.Image], category: str, fit: str) -> Photos:
    """The photos, cut out and encoded. A photo in which no subject is found is learned from whole."""
    photos = [SubjectPhoto(image, category) for image in images]
    notices, pictures, whole = list[str](), list[SubjectPicture](), list[str]()
    most = max(own_size(studio.model)) * 2
    for number, photo in enumerate(photos, 1):
        with studio.computing():
            try:
                found = studio.references.cut_out(photo)
            except (ImageError, MissingDependencyError):
                whole.append(str(number))
                pictures.append(SubjectPicture(photo.image, None))
                continue
        notices += [] if found.note is None else [f"Photo {number}: {found.note}"]
        pictures.append(SubjectPicture(photo.image, reduced(found.image, most)))
    if whole:
        notices.append(
            f"No subject stands out in photo {', '.join(whole)}, which is learned with its ground; a PNG with "
            "transparent ground is better."
        )
    rows = torch.cat([studio.subject([photo], fit=fit).tokens[None] for photo in photos]).float()
    if len(photos) == 1:
        notices.append(_ONE)
    elif len(photos) > 30:
        notices.append(_MANY.format(count=len(photos)))
    return Photos(tuple(pictures), rows, (*notices, *strangers(rows)))


def strangers(rows: Tensor) -> list[str]:
    """A sentence where photos show another thing than the rest, as far as their embeddings tell.

    rows: (n, 16, width)
    """
    if len(rows) < 3:
        return []
    flat = functional.normalize(rows.flatten(1), dim=1)
    alike = flat @ flat.T
    alike.fill_diagonal_(0)
    own = alike.sum(1) / (len(rows) - 1)  # the mean likeness of each photo to the others
    usual = float(own.median())
    strange = [str(number) for number, one in enumerate(own.tolist(), 1) if one < _STRANGE * usual]
    if not strange:
        return []
    return [
        f"Photo {', '.join(strange)} shows another thing than the others, as far as their embeddings tell; leave it "
        "out unless it is the same subject."
    ]
