"""Files that hold pictures -> Pillow's pictures. Whatever a library raises about a file ends here, as one sentence."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image, features

from blipdiff.errors import ImageError, MissingDependencyError
from blipdiff.foreign import first_line
from blipdiff.picture_chunks import without_metadata

LARGEST_PIXELS = 100_000_000

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "TGA", "ICO")
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
}
_BUILT_IN = {"AVIF": "avif", "WebP": "webp", "JPEG 2000": "jpg_2000"}  # kinds that builds of Pillow may lack
_AVIF, _HEIC = (b"avif", b"avis"), (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_EITHER = (b"mif1", b"msf1")  # what a file of either kind may call itself first
_QUIET = threading.Lock()
_ORIENTATION = ExifTags.Base.Orientation


@contextmanager
def picture_file(path: str | Path) -> Iterator[Image.Image]:
    """A picture as its file has it, for the length of the block; checked, and nothing decoded yet.

    Raises: ImageError for a file that is missing, empty, damaged, not a picture, or above 100 megapixels;
    MissingDependencyError for a HEIC picture where nothing can read it.
    """
    with file_stream(path) as stream, _opened(stream, str(path)) as picture:
        yield picture


def read_picture(path: str | Path) -> Image.Image:
    """The first frame of the picture in a file, decoded, whatever is wrong with what stands beside the pixels.

    Raises: as `picture_file`.
    """
    with file_stream(path) as stream:
        return _read(stream, str(path))


def picture_of(data: bytes, name: str) -> Image.Image:
    """The picture in `data`, as `read_picture`; `name` says in an error what it is."""
    return _read(io.BytesIO(data), name)


@contextmanager
def file_stream(path: str | Path) -> Iterator[BinaryIO]:
    """The bytes of a picture's file, which is there and not empty. Raises: ImageError where it is not."""
    path = Path(path)
    try:
        if not path.exists():
            raise ImageError(f"There is no picture at {path}.")
        if not path.is_file():
            raise ImageError(f"{path} is not a file; give the path of one picture.")
        stream = path.open("rb")
    except (OSError, ValueError) as reason:  # a path with a zero byte is a ValueError
        raise ImageError(f"{path} cannot be read: {getattr(reason, 'strerror', None) or reason}.") from reason
    with stream:
        if not stream.read(1):
            raise ImageError(f"{path} is an empty file, not a picture.")
        yield stream


def check_pixels(size: tuple[int, int], name: str) -> None:
    """Passes for a picture of a size that can be worked on. Raises: ImageError for none, or above 100 megapixels."""
    if size[0] * size[1] > LARGEST_PIXELS:
        raise ImageError(
            f"{name} is {size[0]} x {size[1]} pixels, above {LARGEST_PIXELS // 10**6} megapixels; "
            "give a smaller picture."
        )
    if min(size) < 1:
        raise ImageError(f"{name} has no pixels.")


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Whatever a library raises on pixels of `name`, as an ImageError. Only calls of libraries belong in the block."""
    try:
        yield
    except Exception as reason:
        raise ImageError(f"The pixels of {name} are damaged or cut off: {first_line(reason)}.") from reason


def orientation(image: Image.Image) -> int:
    """How the camera was turned, by EXIF's numbers; 1, which is upright, where that cannot be read."""
    try:
        with _quiet():
            told: Any = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever is wrong with what is told about the pixels, they are there
        return 1
    first = told[0] if isinstance(told, tuple | list) and told else told
    return first if isinstance(first, int) else 1


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of Pillow's; in one thread at a time, for the filters of warnings belong to all."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read(stream: BinaryIO, name: str) -> Image.Image:
    picture = _opened(stream, name)
    try:
        return _loaded(picture, name)
    except ImageError:
        bare = _opened_bare(stream, name)
        if bare is None:
            raise
        return _loaded(bare, name)


def _loaded(picture: Image.Image, name: str) -> Image.Image:
    if picture.format != "TIFF":
        with decoding(name):
            picture.load()
        return picture
    _keep_orientation_alone(picture)
    with decoding(name), _quiet():  # it is asked again whether the picture is large
        picture.load()
    return picture


def _keep_orientation_alone(picture: Image.Image) -> None:
    """Pillow turns a TIFF while it decodes it, and writes all its EXIF anew for that."""
    turned = orientation(picture)
    exif = picture.getexif()  # what could be read of it: the first call keeps that
    for tag in list(exif):
        del exif[tag]
    exif[_ORIENTATION] = turned


def _opened(stream: BinaryIO, name: str) -> Image.Image:
    """The picture's header only; nothing is decoded before its size is known to be bearable."""
    stream.seek(0)
    kind = _kind(stream.read(64))
    stream.seek(0)
    try:
        picture = _identified(stream, kind, name)
    except ImageError:
        bare = _opened_bare(stream, name)
        if bare is None:
            raise
        picture = bare
    check_pixels(picture.size, name)
    return picture


def _has(part: str) -> bool:
    """Whether Pillow was built with a module or codec; older versions warn of names that they do not know."""
    return part in {*features.modules, *features.codecs} and bool(features.check(part))


def _identified(stream: BinaryIO, kind: str | None, name: str) -> Image.Image:
    if kind in _BUILT_IN and not _has(_BUILT_IN[kind]):
        raise MissingDependencyError(
            f"{name} is a {kind} picture, which the installed Pillow cannot read: pip install 'pillow>=12'."
        )
    formats = _FORMATS + (("AVIF",) if _has("avif") else ())
    read: Any = Image.open if kind != "HEIC" else _heif_reader(name)
    try:
        with _quiet():
            picture: Image.Image = read(stream) if kind == "HEIC" else read(stream, formats=formats)
            return picture
    except Image.DecompressionBombError as reason:
        raise ImageError(f"{name} is above {LARGEST_PIXELS // 10**6} megapixels; give a smaller picture.") from reason
    except Exception as reason:
        if kind is not None:
            raise ImageError(f"{name} is a {kind} picture that is damaged or cut off.") from reason
        raise ImageError(
            f"{name} is not a picture that can be read, or it is damaged; give one of: {', '.join(formats)}, HEIC."
        ) from reason


def _opened_bare(stream: BinaryIO, name: str) -> Image.Image | None:
    """The picture of a file whose pixels alone are looked at; None where they cannot be told apart."""
    bare = without_metadata(stream)
    if bare is None:
        return None
    picture = _identified(bare.stream, _kind(bare.stream.read(64)), name)
    told = {"exif": bare.exif, "icc_profile": bare.profile}
    picture.info.update({key: value for key, value in told.items() if value is not None})
    return picture


def _heif_reader(name: str) -> Any:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is a HEIC picture; reading those needs: pip install 'blipdiff[heif]'. A PNG or JPEG needs nothing."
        ) from error
    return HeifImageFile


def _kind(start: bytes) -> str | None:
    """What a file's first bytes say that it is; None for what they leave open."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    if start[4:8] == b"ftyp":
        brands = [start[place : place + 4] for place in range(8, len(start), 4)]
        if brands[0] in _AVIF or (brands[0] in _EITHER and set(brands) & set(_AVIF)):
            return "AVIF"
        return "HEIC" if brands[0] in (*_HEIC, *_EITHER) else None
    return next((kind for first, kind in _STARTS.items() if start.startswith(first)), None)
