"""Pages of reports: one HTML file with everything in it, that asks for nothing else."""

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from blipdiff.data.records import Pixels

_JPEG_QUALITY = 88
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1d1d1f }
table { border-collapse: collapse; margin: .6rem 0 1.6rem } caption { text-align: left; font-weight: 600 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
img { width: 128px; height: 128px; display: block } figure { margin: 0 }
figcaption { max-width: 128px; font-size: 12px }
.hit { outline: 3px solid #2a9d4a } .miss { outline: 3px solid #c9503c } p { max-width: 60rem }
"""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One picture of the page; `hit` outlines it: a metric traced it to the right subject or not."""

    picture: Pixels
    caption: str = ""
    hit: bool | None = None


def page(title: str, body: str) -> str:
    """A whole page; `body` is HTML."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escaped(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escaped(title)}</h1>{body}</html>\n"
    )


def plain_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of texts, the first of each row its heading."""
    heads = "".join(f"<th>{escaped(one)}</th>" for one in head)
    body = "".join(
        f"<tr><th>{escaped(row[0])}</th>{''.join(f'<td>{escaped(one)}</td>' for one in row[1:])}</tr>" for row in rows
    )
    return f"<table><caption>{escaped(caption)}</caption><tr>{heads}</tr>{body}</table>"


def picture_cell(shown: Shown) -> str:
    """A cell with a picture, its caption and its outline."""
    mark = "" if shown.hit is None else f' class="{"hit" if shown.hit else "miss"}"'
    caption = f"<figcaption>{escaped(shown.caption)}</figcaption>" if shown.caption else ""
    return f'<td><figure><img{mark} alt="{escaped(shown.caption)}" src="{_data(shown.picture)}">{caption}</figure></td>'


def escaped(value: Any) -> str:
    """A value as HTML shows it."""
    return html.escape(str(value))


def _data(picture: Pixels) -> str:
    small = picture if picture.shape[0] <= 256 else cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    _, coded = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
