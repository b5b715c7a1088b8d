"""Parts of picture files, made byte by byte as no library would write them."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

PNG_START = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(path: Path, *, before: bytes = b"", behind: bytes = b"") -> Path:
    """A PNG with more chunks before and behind its pixels."""
    data = path.read_bytes()
    first, end = data.index(b"IDAT") - 4, data.rindex(b"IEND") - 4
    path.write_bytes(data[:first] + before + data[first:end] + behind + data[end:])
    return path


def ifd(entries: Sequence[tuple[int, int, int, bytes]], offset: int) -> bytes:
    """A directory of TIFF at `offset`, little-endian: (tag, type, count, value) each, long values behind it."""
    start = offset + 2 + 12 * len(entries) + 4
    table, values = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in entries:
        if len(value) <= 4:
            held = value.ljust(4, b"\0")
        else:
            held = struct.pack("<I", start + len(values))
            values += value
        table += struct.pack("<HHI", tag, kind, count) + held
    return table + bytes(4) + values


def exif(*entries: tuple[int, int, int, bytes], header: bytes = b"II*\0") -> bytes:
    """EXIF with these entries."""
    return b"Exif\0\0" + header + struct.pack("<I", 8) + ifd(entries, 8)


def turned(*values: int) -> tuple[int, int, int, bytes]:
    """An entry that says how the camera was held."""
    return (ORIENTATION, 3, len(values), struct.pack(f"<{len(values)}H", *values))


BROKEN_RATIONAL = (0x9204, 10, 1, struct.pack("<ii", -1, 0))  # the exposure's bias, as some cameras write it
BROKEN_EXIF = {
    "a rational without a denominator": exif(turned(6), BROKEN_RATIONAL),
    "two orientations": exif(turned(6, 1)),
    "a directory cut off": exif(turned(6), BROKEN_RATIONAL)[:-6],
}


def tiff(width: int, height: int, pixels: bytes, *more: tuple[int, int, int, bytes]) -> bytes:
    """An RGB TIFF in one strip, with more entries."""

    def entry(tag: int, *values: int) -> tuple[int, int, int, bytes]:
        return (tag, 4, len(values), struct.pack(f"<{len(values)}I", *values))

    entries = [entry(256, width), entry(257, height), (258, 3, 3, struct.pack("<3H", 8, 8, 8)), entry(259, 1)]
    entries += [entry(262, 2), entry(273, 8), entry(277, 3), entry(278, height), entry(279, len(pixels))]
    start = 8 + len(pixels)
    return b"II*\0" + struct.pack("<I", start) + pixels + ifd(sorted([*entries, *more]), start)


def profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2.1."""
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data.ljust(-(-len(data) // 4) * 4, b"\0")
    rest = struct.pack(">I", len(tags)) + table + body
    head = struct.pack(">I4s4s4s4s4s", 128 + len(rest), b"test", b"\x02\x10\0\0", kind, space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + xyz(0.9642, 1.0, 0.8249)[8:]
    return head.ljust(128, b"\0") + rest


def xyz(*values: float) -> bytes:
    """A colour as profiles keep it."""
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def power(exponent: float) -> bytes:
    """A curve as profiles keep it."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


def matrix_profile(columns: Sequence[Sequence[float]], exponent: float) -> bytes:
    """An RGB profile: the colours of red, green and blue under D50, and one curve."""
    colours = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), (xyz(*column) for column in columns), strict=True))
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), power(exponent))
    return profile(b"mntr", b"RGB ", b"XYZ ", {b"wtpt": xyz(0.9642, 1.0, 0.8249), **colours, **curves})


def grey_profile(exponent: float) -> bytes:
    """A profile of grey pictures."""
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"kTRC": power(exponent)})


def ink_profile(magenta: tuple[int, int, int]) -> bytes:
    """A CMYK profile: no ink is white, magenta alone is the Lab colour `magenta`, everything else black."""
    corners = [[0, 128, 128]] * 16
    corners[0], corners[4] = [255, 128, 128], list(magenta)
    straight = bytes(range(256))
    unit = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + straight * 4
    table += b"".join(bytes(corner) for corner in corners) + straight * 3
    return profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"A2B0": table})
