"""What jobs are given: subjects and pictures in any form, read when they are needed, and as JSON can hold them."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError, ImageError, PromptError, SubjectError
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_layers, as_rgb, layers_from, open_layers, open_picture, picture_from
from blipdiff.masks import as_mask
from blipdiff.picture_files import picture_of as file_pixels
from blipdiff.picture_files import read_picture
from pipelines.learned import weights_of, weights_told
from pipelines.task import Kind

CARD_SUFFIX = ".safetensors"
_MOST_MASK_LETTERS = 2**22

Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom, in fractions of the picture
Content: TypeAlias = SubjectPhoto | SubjectEmbedding | PictureLike | bytes | Path | None


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """One subject or picture.

    content: a photo with its category, a card, a picture, a file's bytes, or its path; None for a picture that must be
    given again, of which `pixels` tells the hash
    """

    content: Content
    word: str = ""  # what a subject is, or its word in the prompt; a picture's name
    weight: float | None = None  # of several subjects
    box: Box | None = None  # where a subject shall be
    mask: "Input | None" = None  # the same, painted
    cut_out_mask: "Input | None" = None  # where in its photo a subject is; else it is looked for
    pixels: str | None = None

    @classmethod
    def of(cls, given: Any) -> "Input":
        """An input of whatever a caller has: itself, content alone, or a path as text."""
        if isinstance(given, Input):
            return given
        return cls(Path(given) if isinstance(given, str) else given)

    def opened(self, kind: Kind) -> "Input":
        """The same with its content read: a subject's photo or card, a picture, or a mask.

        Raises: ImageError, SubjectError, PromptError for what cannot be read, ConfigError for what is not there.
        """
        mask = None if self.mask is None else self.mask.opened("mask")
        content = self.content
        if content is None:
            name = f" {self.word!r}" if self.word else ""
            raise ConfigError(f"The {kind}{name} is not kept in the job; give it again.")
        if kind == "subject":
            outline = None if self.cut_out_mask is None else self.cut_out_mask.opened("mask")
            content = _subject(content, self.word)
            if outline is not None:
                content = _outlined(content, outline.image)
            return replace(self, content=content, word=self.word or content.category, mask=mask, cut_out_mask=outline)
        word = self.word or content.stem if isinstance(content, Path) else self.word
        return replace(self, content=_pixels_of(content, kind), word=word)

    @property
    def image(self) -> Image.Image:
        """The picture of an opened input."""
        assert isinstance(self.content, Image.Image)
        return self.content

    @property
    def reference(self) -> SubjectPhoto | SubjectEmbedding:
        """The subject of an opened input."""
        assert isinstance(self.content, SubjectPhoto | SubjectEmbedding)
        return self.content

    def as_mapping(self, kind: Kind) -> dict[str, Any]:
        """What JSON can hold of it; a subject's photo keeps its pixels, a card its rows.

        Raises: ImageError for content that is none of its kind.
        """
        found: dict[str, Any] = {}
        if self.word:
            found["word"] = self.word
        for name in ("weight", "pixels"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        if self.box is not None:
            found["box"] = list(self.box)
        if self.mask is not None:
            found["mask"] = self.mask.as_mapping("mask")
        outline = self.cut_out_mask
        if outline is None and isinstance(self.content, SubjectPhoto) and self.content.mask is not None:
            outline = Input(self.content.mask)
        if outline is not None:
            found["cut_out_mask"] = outline.as_mapping("mask")
        return found | _content_text(self.content, kind)

    @classmethod
    def from_mapping(cls, told: Any, *, paths: bool = False) -> "Input":
        """What `as_mapping` made of one. Raises: ConfigError for a damaged one, and for a path where none may be."""
        if not isinstance(told, Mapping):
            raise ConfigError(f"The job is damaged: {told!r:.60} is no input.")
        word, weight, box, pixels = (told.get(name) for name in ("word", "weight", "box", "pixels"))
        kinds: tuple[tuple[Any, Any], ...] = ((word, str), (weight, int | float), (box, list), (pixels, str))
        if any(value is not None and not isinstance(value, kind) for value, kind in kinds):
            raise ConfigError("The job is damaged: an input's word, weight, box or hash is of another kind.")
        if box is not None and not (len(box) == 4 and all(isinstance(side, int | float) for side in box)):
            raise ConfigError("The job is damaged: a box has four sides.")
        mask, outline = (
            None if told.get(name) is None else cls.from_mapping(told[name], paths=paths)
            for name in ("mask", "cut_out_mask")
        )
        content = _content_from(told, paths=paths)
        place = None if box is None else tuple(box)
        return cls(content, word or "", weight, place, mask, cut_out_mask=outline, pixels=pixels)


def pixels_hash(picture: PictureLike) -> str:
    """What tells whether two pictures have the same pixels, whatever their files."""
    rgb = as_rgb(picture)
    return hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()


def mask_hash(mask: PictureLike) -> str:
    """The same of a painted mask, whatever its file's mode."""
    grey = as_mask(mask)
    return hashlib.sha256(repr(grey.size).encode() + grey.tobytes()).hexdigest()


def mask_input(mask: PictureLike) -> Input:
    """A painted mask as pictures keep it: its pixels, or where they are too many its hash."""
    grey = as_mask(mask)
    is_kept = len(picture_text(grey)) <= _MOST_MASK_LETTERS
    return Input(grey) if is_kept else Input(None, pixels=mask_hash(mask))


def card_input(subject: SubjectEmbedding, word: str = "", cut_out: Image.Image | None = None, **more: Any) -> Input:
    """A subject's rows, as pictures keep them, with the cut-out that they were drawn with if any.

    Of weights that were learned of it they keep the name alone: those are larger than a picture.
    """
    rows = SubjectEmbedding(
        subject.tokens,
        subject.category,
        fingerprint=subject.fingerprint,
        cut_out=cut_out,
        weights=tuple(replace(one, weights=one.weights.named()) for one in subject.weights),
    )
    return Input(rows, word or subject.category, **more)


def rows_from(
    text: Any, category: str, fingerprint: str | None, cut_out: Image.Image | None = None
) -> SubjectEmbedding:
    """A subject's rows from text. Raises: ConfigError for text that is missing or damaged."""
    import torch
    from safetensors.torch import load

    try:
        tokens = load(base64.b64decode(text, validate=True))["tokens"]
    except Exception as error:  # whatever the damage: text, base64, container or key
        raise ConfigError(
            "The metadata lacks the picture's subject, or it is damaged; it cannot be repeated."
        ) from error
    return SubjectEmbedding(tokens.to(torch.float32), category, fingerprint=fingerprint, cut_out=cut_out)


def picture_text(picture: Image.Image) -> str:
    """A picture as text, pixel for pixel."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def picture_of(text: Any, what: str) -> Image.Image:
    """What `picture_text` wrote. Raises: ConfigError for text that is damaged."""
    try:
        return picture_from(base64.b64decode(text, validate=True), what)
    except (ValueError, TypeError, ImageError) as error:
        raise ConfigError(f"The metadata is damaged: {what} cannot be read.") from error


def layers_of(text: Any, what: str) -> Image.Image:
    """What `picture_text` wrote, with its transparency. Raises: ConfigError for text that is damaged."""
    try:
        return layers_from(base64.b64decode(text, validate=True), what)
    except (ValueError, TypeError, ImageError) as error:
        raise ConfigError(f"The metadata is damaged: {what} cannot be read.") from error


def _subject(content: Any, word: str) -> SubjectPhoto | SubjectEmbedding:
    if isinstance(content, SubjectPhoto | SubjectEmbedding):
        return content
    if isinstance(content, Path):
        if content.suffix.lower() == CARD_SUFFIX:
            return SubjectEmbedding.load(content)
        picture: Any = open_layers(content)
        if not word.strip():
            raise PromptError(f"Say what {content.name} shows with --category: dog, teapot, jacket.")
        return SubjectPhoto(picture, word)
    picture = layers_from(content, "the subject's photo") if isinstance(content, bytes) else content
    return SubjectPhoto(picture, word)


def _outlined(content: SubjectPhoto | SubjectEmbedding, mask: Image.Image) -> SubjectPhoto:
    """A photo whose subject is where a mask says. Raises: SubjectError for a card, which has its cut-out or none."""
    if isinstance(content, SubjectEmbedding):
        raise SubjectError(
            f"{content.category!r} is a subject card, which was made with its cut-out; give the mask with the photo."
        )
    return replace(content, mask=mask)


def check_pixels(kind: Kind, wanted: Input, given: Input) -> None:
    seen = mask_hash(given.image) if kind == "mask" else pixels_hash(given.image)
    if wanted.pixels is not None and seen != wanted.pixels:
        name = f" {wanted.word}" if wanted.word else ""
        raise ConfigError(
            f"{given.word or 'This'} is not the {kind}{name} that the picture was made of: its pixels differ. "
            "Or it was edited by an earlier version, which left out a photo's colour profile."
        )


def _pixels_of(content: Any, kind: Kind) -> Image.Image:
    """A picture upright in RGB, layers in RGBA, a mask in one channel, in whatever form it came.

    So what is written down draws the same.

    Raises: ImageError for what cannot be read, and for what is no mask.
    """
    if isinstance(content, SubjectPhoto | SubjectEmbedding):
        raise ImageError(f"{content.category!r} is a subject; a {kind} was expected.")
    if kind == "mask":  # see-through parts mean something else in it than in a picture
        if isinstance(content, Path):
            return as_mask(read_picture(content))
        return as_mask(file_pixels(content, "the mask") if isinstance(content, bytes) else content)
    if kind == "layers":
        if isinstance(content, Path):
            return open_layers(content)
        return layers_from(content, "the picture") if isinstance(content, bytes) else as_layers(content)
    if isinstance(content, Path):
        return open_picture(content)
    return picture_from(content, "the picture") if isinstance(content, bytes) else as_rgb(content)


def _content_text(content: Content, kind: Kind) -> dict[str, Any]:
    if isinstance(content, SubjectEmbedding):
        from safetensors.torch import save

        rows = base64.b64encode(save({"tokens": content.tokens.contiguous()})).decode()
        told = {"rows": rows, "category": content.category, "fingerprint": content.fingerprint}
        if content.weights:
            told |= weights_told(content.weights)
        return told if content.cut_out is None else told | {"cut_out": picture_text(content.cut_out)}
    if isinstance(content, SubjectPhoto):
        return {"picture": picture_text(as_layers(content.image)), "category": content.category}
    if isinstance(content, Path):
        return {"path": str(content)}
    if isinstance(content, bytes):
        return {"file": base64.b64encode(content).decode()}
    if content is None:
        return {}
    return {"picture": picture_text(as_layers(content) if kind == "subject" else _pixels_of(content, kind))}


def _content_from(told: Mapping[str, Any], *, paths: bool) -> Content:
    category = told.get("category")
    if "rows" in told:
        fingerprint = told.get("fingerprint")
        layers = None if told.get("cut_out") is None else layers_of(told["cut_out"], "a subject's cut-out")
        rows = rows_from(told["rows"], str(category), fingerprint if isinstance(fingerprint, str) else None, layers)
        return replace(rows, weights=weights_of(told)) if "tuned" in told else rows
    if "picture" in told:
        picture = layers_of(told["picture"], "a picture")
        return picture if category is None else SubjectPhoto(picture, str(category))
    if "file" in told:
        try:
            return base64.b64decode(told["file"], validate=True)
        except (ValueError, TypeError) as error:
            raise ConfigError("The job is damaged: a file in it cannot be read.") from error
    if "path" in told:
        if not paths:
            raise ConfigError("The job names a file of the machine that it is run on; send the file itself.")
        return Path(str(told["path"]))
    return None


def given_images(inputs: Sequence[Input]) -> list[Image.Image]:
    """The pictures of opened inputs."""
    return [one.image for one in inputs]
