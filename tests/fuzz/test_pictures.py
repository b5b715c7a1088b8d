"""Damaged pictures of every format that is read, and damaged subject cards."""

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.images import open_picture, thumbnail
from blipdiff.masks import as_mask
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutations import damaged_bytes, damaged_json
from tests.support.picture_bytes import BROKEN_EXIF, grey_profile, ink_profile, matrix_profile

SIZE = (40, 28)
PROFILE = matrix_profile(((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)), 2.2)


def pixels(channels: int = 3) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (7, 10, channels), dtype=np.uint8)
    return noise.repeat(4, 0).repeat(4, 1)


def saved(picture: Image.Image, form: str, **more: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=form, **more)
    return file.getvalue()


def exif() -> bytes:
    return BROKEN_EXIF["two orientations"]


def texts() -> PngInfo:
    info = PngInfo()
    info.add_text("parameters", "a dog" * 20, zip=True)
    info.add_itxt("workflow", '{"a": 1}' * 20, zip=True)
    return info


def heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels())).save(file, format="HEIF", exif=exif())
    return file.getvalue()


def rgb() -> Image.Image:
    return Image.fromarray(pixels())


FILES: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: saved(rgb(), "PNG", pnginfo=texts(), icc_profile=PROFILE, exif=exif(), transparency=(0, 1, 2)),
    "see-through PNG": lambda: saved(Image.fromarray(pixels(4)), "PNG", icc_profile=PROFILE),
    "palette PNG": lambda: saved(rgb().quantize(8), "PNG", transparency=bytes(8), icc_profile=PROFILE),
    "16-bit PNG": lambda: saved(Image.fromarray(pixels(2).view(np.uint16)[..., 0]), "PNG"),
    "animated PNG": lambda: saved(rgb(), "PNG", save_all=True, append_images=[rgb().rotate(180)]),
    "JPEG": lambda: saved(rgb(), "JPEG", icc_profile=PROFILE, exif=exif()),
    "grey JPEG": lambda: saved(rgb().convert("L"), "JPEG", icc_profile=grey_profile(1.8)),
    "CMYK JPEG": lambda: saved(rgb().convert("CMYK"), "JPEG", icc_profile=ink_profile((128, 70, 190))),
    "MPO": lambda: saved(rgb(), "MPO", save_all=True, append_images=[rgb().rotate(180)], exif=exif()),
    "TIFF": lambda: saved(rgb(), "TIFF", icc_profile=PROFILE),
    "packed TIFF": lambda: saved(rgb(), "TIFF", compression="tiff_deflate"),
    "float TIFF": lambda: saved(Image.fromarray(pixels()[..., 0].astype(np.float32)), "TIFF"),
    "WebP": lambda: saved(rgb(), "WEBP", icc_profile=PROFILE, exif=exif()),
    "GIF": lambda: saved(rgb(), "GIF", save_all=True, append_images=[rgb().rotate(180)]),
    "BMP": lambda: saved(rgb(), "BMP"),
    "JPEG 2000": lambda: saved(rgb(), "JPEG2000"),
    "PPM": lambda: saved(rgb(), "PPM"),
    "TGA": lambda: saved(rgb(), "TGA"),
    "ICO": lambda: saved(rgb(), "ICO", sizes=[(16, 16), (32, 32)]),
    "AVIF": lambda: saved(rgb(), "AVIF", exif=exif(), icc_profile=PROFILE),
    "HEIC": heic,
}
_SHARE = 0.2  # there are many formats


@pytest.mark.parametrize("form", FILES)
def test_damaged_pictures(form: str, fuzz: Fuzz, tmp_path: Path) -> None:
    def read(data: bytes) -> None:
        (tmp_path / "picture").write_bytes(data)
        picture = open_picture(tmp_path / "picture")
        assert picture.mode == "RGB"
        as_mask(thumbnail(picture).convert("L"))

    fuzz(damaged_bytes(FILES[form]()), read, content=lambda data: data, share=_SHARE)


def test_damaged_cards(fuzz: Fuzz, tmp_path: Path) -> None:
    tokens = torch.linspace(-1, 1, 96).view(4, 24)
    made = SubjectEmbedding(tokens, "dog", thumbnail(rgb()), "abc", {"model": "tiny"})
    whole = made.save(tmp_path / "whole").read_bytes()

    def read(data: bytes) -> None:
        (tmp_path / "card").write_bytes(data)
        SubjectEmbedding.load(tmp_path / "card").check_model("abc", 24)

    fuzz(st.one_of(damaged_bytes(whole), damaged_heads(whole)), read, content=lambda data: data)


def damaged_heads(whole: bytes) -> st.SearchStrategy[bytes]:
    """Cards whose bytes are well-formed, with odd values in what they say of themselves."""
    length = struct.unpack("<Q", whole[:8])[0]

    def packed(head: object) -> bytes:
        text = json.dumps(head).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + length :]

    return damaged_json(json.loads(whole[8 : 8 + length])).map(packed)
