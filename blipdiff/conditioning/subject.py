"""Subjects: a photo with its category, its embedding, and the card that keeps an embedding in one small file."""

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from blipdiff.conditioning.prompt import checked_category
from blipdiff.conditioning.subject_weights import Acting, SubjectWeights
from blipdiff.conditioning.weights_file import is_weight, read_weights, weights_texts
from blipdiff.errors import BlipdiffError, ShapeError, SubjectError
from blipdiff.foreign import foreign
from blipdiff.given_pictures import as_image
from blipdiff.images import layers_from, picture_from
from blipdiff.masks import as_mask
from blipdiff.outputs import written_file
from blipdiff.picture_chunks import PNG_START

if TYPE_CHECKING:  # photos are subjects without torch
    from torch import Tensor

_FORMAT = "blipdiff-subject"
_VERSION, _WITH_CUT_OUT, _TUNED = "1", "2", "3"  # of cards without and with a cut-out, and with weights
_LARGEST_FILE = 4 * 2**30  # bytes; a full-size card is below 100 KB, one with a whole U-Net's changes 1.7 GB
_LARGEST_SIDE = 1024  # pixels of a thumbnail or a cut-out
_SIDES = slice(16, 24)  # where a PNG says how large it is
_MOST_SLOTS, _LARGEST_WIDTH = 1024, 16384
_DTYPES = ("torch.float16", "torch.bfloat16", "torch.float32", "torch.float64")


@dataclass(frozen=True, slots=True, eq=False)
class SubjectPhoto:
    """A photo of the subject, which may be given as an array or a tensor, and what it is in a word or two.

    mask: white where the subject is in it, where somebody has said so; details are read from there

    Raises: PromptError for an empty category, ImageError for what is no picture, or no mask.
    """

    image: Image.Image
    category: str
    mask: Image.Image | None = None

    def __post_init__(self) -> None:
        checked_category(self.category)
        object.__setattr__(self, "image", as_image(self.image))
        if self.mask is not None:
            object.__setattr__(self, "mask", as_mask(self.mask))


@dataclass(frozen=True, slots=True, eq=False)
class SubjectEmbedding:
    """A subject as the model sees it.

    tokens: (16, width); fingerprint: of the subject encoder that made them; provenance: where it came from, in words;
    cut_out: RGBA, the subject without its ground, which details are read from; weights: what a U-Net has learned of it

    Raises: ShapeError for another shape, PromptError for an empty category, SubjectError for values not finite.
    """

    tokens: "Tensor"
    category: str
    thumbnail: Image.Image | None = None
    fingerprint: str | None = None
    provenance: Mapping[str, str] | None = None
    cut_out: Image.Image | None = None
    weights: tuple[Acting, ...] = ()

    def __post_init__(self) -> None:
        import torch

        checked_category(self.category)
        shape = tuple(self.tokens.shape)
        if len(shape) != 2 or not 1 <= shape[0] <= _MOST_SLOTS or not 1 <= shape[1] <= _LARGEST_WIDTH:
            raise ShapeError(f"A subject's tokens have the shape {shape}; (16, width) was expected.")
        if str(self.tokens.dtype) not in _DTYPES or not bool(torch.isfinite(self.tokens).all()):
            raise SubjectError(f"The subject {self.category!r} has infinite or not-a-number values; make it again.")

    @property
    def width(self) -> int:
        """Of the text encoder that reads it."""
        return int(self.tokens.shape[1])

    def check_model(self, fingerprint: str, width: int) -> None:
        """Passes when a model of this fingerprint and width understands the subject.

        Raises: SubjectError naming both sides when it does not.
        """
        if self.width != width:
            raise SubjectError(
                f"The subject {self.category!r} has embeddings of width {self.width}, this model reads width {width}. "
                "Encode the photo again with this model."
            )
        if self.fingerprint is not None and self.fingerprint != fingerprint:
            raise SubjectError(
                f"The subject {self.category!r} was made by the model {self.fingerprint}, this is the model "
                f"{fingerprint}. Encode the photo again with this model."
            )

    def save(self, path: str | Path) -> Path:
        """Writes the subject card, whole or not at all.

        Raises: OutputError when the file cannot be written, SubjectError for a mixture of tuned subjects.
        """
        from safetensors.torch import save_file

        path = Path(path)
        tensors = {"tokens": self.tokens.detach().cpu().contiguous()}
        if self.thumbnail is not None:
            tensors["thumbnail"] = _png(self.thumbnail)
        if self.cut_out is not None:
            tensors["cut_out"] = _png(self.cut_out)
        version = _VERSION if self.cut_out is None else _WITH_CUT_OUT
        texts = {"format": _FORMAT, "version": version, "category": self.category}
        if self.fingerprint is not None:
            texts["fingerprint"] = self.fingerprint
        if self.provenance is not None:
            texts["provenance"] = json.dumps(dict(self.provenance), ensure_ascii=False, sort_keys=True)
        if self.weights:
            own = self._own_weights()
            tensors |= {name: tensor.detach().cpu().contiguous() for name, tensor in own.tensors.items()}
            texts |= weights_texts(own, self.category) | {"version": _TUNED}
        with written_file(path) as part:
            save_file(tensors, part, texts)
        return path

    def _own_weights(self) -> SubjectWeights:
        (first, *others) = self.weights
        if others or first.share != 1:
            raise SubjectError(
                "A mixture of tuned subjects makes no card: each keeps its own weights. Give their cards together."
            )
        if not first.weights.tensors:
            raise SubjectError(f"The weights of {self.category!r} are not kept here; give its own card.")
        return first.weights

    @classmethod
    def load(cls, path: str | Path) -> "SubjectEmbedding":
        """Reads a subject card; nothing in it is executed.

        Raises: SubjectError when there is no such file, or it is damaged or no subject card.
        """
        path = Path(path)
        tensors, texts = _read(path)
        if texts.get("format") != _FORMAT or "tokens" not in tensors:
            raise SubjectError(f"{path} is no subject card. Make one with `blipdiff encode`.")
        if texts.get("version") not in (_VERSION, _WITH_CUT_OUT, _TUNED):
            raise SubjectError(
                f"{path} is a subject card of version {texts.get('version')}; this program reads up to {_TUNED}."
            )
        picture, layers = tensors.get("thumbnail"), tensors.get("cut_out")
        try:
            weights = read_weights(tensors, texts)
            return cls(
                weights=() if weights is None else (Acting(weights),),
                tokens=tensors["tokens"],
                category=texts.get("category", ""),
                thumbnail=None if picture is None else _picture(picture, "thumbnail"),
                cut_out=None if layers is None else _layers(layers),
                fingerprint=texts.get("fingerprint"),
                provenance=_provenance(texts.get("provenance")),
            )
        except BlipdiffError as error:
            raise SubjectError(f"The subject card {path} is damaged: {error}") from error


def _png(image: Image.Image) -> "Tensor":
    import torch

    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)


def _layers(png: "Tensor") -> Image.Image:
    _picture(png, "cut-out")  # which checks it
    layers = layers_from(png.numpy().tobytes(), "its cut-out")
    if layers.mode != "RGBA":
        raise SubjectError("its cut-out has no transparency")
    return layers


def _picture(png: "Tensor", what: str) -> Image.Image:
    import torch

    data = png.numpy().tobytes() if png.dtype == torch.uint8 and png.ndim == 1 else b""
    if len(data) < _SIDES.stop or not data.startswith(PNG_START):
        raise SubjectError(f"its {what} is no PNG")
    width, height = struct.unpack(">II", data[_SIDES])  # before anything is unpacked
    if max(width, height) > _LARGEST_SIDE:
        raise SubjectError(f"its {what} has {width} x {height} pixels")
    return picture_from(data, f"its {what}")


def _provenance(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SubjectError("its provenance cannot be read") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise SubjectError("its provenance is no list of names and texts")
    return found


def _read(path: Path) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    from safetensors import safe_open

    try:
        size = path.stat().st_size
        if not path.is_file() or size > _LARGEST_FILE:
            raise SubjectError(f"{path} is no subject card: it is no file of at most {_LARGEST_FILE // 2**30} GB.")
    except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise SubjectError(f"The subject card {path} cannot be read: {reason}.") from error
    with foreign(path, "a subject card", SubjectError), safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name in ("tokens", "thumbnail", "cut_out") or is_weight(name)]  # noqa: SIM118
        return {name: file.get_tensor(name).clone() for name in names}, file.metadata() or {}
