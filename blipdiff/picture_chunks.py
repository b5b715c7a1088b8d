"""The parts that PNG and JPEG files are made of: what holds the pixels, and what is only told about them."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8"

_MOST_BYTES = 2**29  # of a picture that is taken apart
_LARGEST_PROFILE = 2**24  # bytes, unpacked
_SHORTEST_CLEAR = {0: 2, 2: 6, 3: 1}  # colour type -> bytes that its transparency has at least
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_NEEDED_SEGMENTS = {0xE0: 14, 0xEE: 12}  # JFIF and Adobe's, which tell how colours are written: their least bytes
_START_OF_SCAN = 0xDA


@dataclass(frozen=True, slots=True)
class Bare:
    """A picture's file with its pixels alone, and what was read beside them where it could be."""

    stream: BinaryIO
    exif: bytes | None = None
    profile: bytes | None = None


def without_metadata(stream: BinaryIO) -> Bare | None:
    """The same PNG or JPEG with its pixels alone; None for other files, and for what has no such parts."""
    stream.seek(0)
    start = stream.read(8)
    if start == PNG_START:
        return _bare_png(stream)
    if start.startswith(JPEG_START):
        return _bare_jpeg(stream)
    return None


def png_text(stream: BinaryIO, key: str, most: int) -> str | None:
    """The text that a PNG keeps under `key`, before or behind its pixels; None where there is none.

    most: letters

    Raises: ValueError for a text that is damaged or longer.
    """
    found = None
    for kind, data, whole in _png_chunks(stream, _TEXTS, most=most + 1024):
        if data.split(b"\0", 1)[0] != key.encode("latin-1"):
            continue
        if not whole:
            raise ValueError("the text is damaged or too long")
        found = _text_of(kind, data, most)
    return found


def _text_of(kind: bytes, data: bytes, most: int) -> str:
    rest = data.split(b"\0", 1)[1] if b"\0" in data else b""
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        return _unpacked(rest[1:], most).decode("latin-1")
    flags, parts = rest[:2], rest[2:].split(b"\0", 2)
    if len(parts) != 3:
        raise ValueError("the text is damaged")
    return (_unpacked(parts[2], most) if flags[:1] == b"\1" else parts[2]).decode("utf-8")


def _unpacked(data: bytes, most: int) -> bytes:
    machine = zlib.decompressobj()
    try:
        plain = machine.decompress(data, most)
    except zlib.error as reason:
        raise ValueError("the packed data is damaged") from reason
    if machine.unconsumed_tail or not machine.eof:
        raise ValueError("the packed data is too long or cut off")
    return plain


def _png_chunks(stream: BinaryIO, kinds: tuple[bytes, ...], *, most: int) -> Iterator[tuple[bytes, bytes, bool]]:
    """Each chunk of these kinds: (kind, its first `most` bytes, whether that is all of it and its checksum holds).

    The walk ends where the file does, however it ends.
    """
    stream.seek(len(PNG_START))
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind not in kinds:
            stream.seek(length + 4, io.SEEK_CUR)
        else:
            data = stream.read(min(length, most))
            stream.seek(length - len(data), io.SEEK_CUR)
            checksum = stream.read(4)
            whole = len(data) == length and checksum == struct.pack(">I", zlib.crc32(kind + data))
            yield kind, data, whole
        if kind == b"IEND":
            return


def _bare_png(stream: BinaryIO) -> Bare | None:
    kept: list[bytes] = [PNG_START]
    exif = profile = None
    colours, size, drawn = None, 0, False
    wanted = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"iCCP")
    for kind, data, whole in _png_chunks(stream, wanted, most=_MOST_BYTES):
        size += len(data)
        if size > _MOST_BYTES:
            return None
        drawn = drawn or kind == b"IDAT"
        if kind == b"IHDR":
            colours = data[9] if len(data) == 13 else None
        if kind == b"eXIf":
            exif = _EXIF + data if whole else None
        elif kind == b"iCCP":
            profile = _png_profile(data) if whole else None
        elif kind == b"tRNS" and (drawn or not whole or len(data) < _SHORTEST_CLEAR.get(colours or 0, 2**32)):
            continue
        else:
            checksum = zlib.crc32(kind + data) ^ (0 if whole else 1)  # what was damaged stays so
            kept.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum))
    return Bare(io.BytesIO(b"".join(kept)), exif, profile)


def _png_profile(data: bytes) -> bytes | None:
    try:
        return _unpacked(data.split(b"\0", 1)[1][1:], _LARGEST_PROFILE)
    except (ValueError, IndexError):
        return None


def _bare_jpeg(stream: BinaryIO) -> Bare | None:
    stream.seek(2)
    kept, exif = [JPEG_START], None
    profile: dict[int, bytes] = {}
    while len(head := stream.read(4)) == 4:
        marker, length = head[1], struct.unpack(">H", head[2:])[0]
        if head[0] != 0xFF or length < 2:
            return None
        if marker == _START_OF_SCAN:
            rest = stream.read(_MOST_BYTES)
            return Bare(io.BytesIO(b"".join([*kept, head, rest])), exif, _joined(profile))
        data = stream.read(length - 2)
        if data.startswith(_EXIF) and exif is None:
            exif = data
        if data.startswith(_ICC) and len(data) > len(_ICC) + 2:
            profile[data[len(_ICC)]] = data[len(_ICC) :]
        told = 0xE0 <= marker <= 0xEF or marker == 0xFE
        if not told or len(data) >= _NEEDED_SEGMENTS.get(marker, 2**16):
            kept.append(head + data)
    return None


def _joined(parts: dict[int, bytes]) -> bytes | None:
    """The profile of numbered parts, each (number, count, bytes); None where one is missing."""
    counts = {part[1] for part in parts.values()}
    if len(counts) != 1 or set(parts) != set(range(1, counts.pop() + 1)):
        return None
    return b"".join(parts[number][2:] for number in sorted(parts))
