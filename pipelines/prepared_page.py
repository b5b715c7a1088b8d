"""How far photos have become samples, and the page that shows it."""

import html
import json
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from blipdiff.data.records import Pixels
from blipdiff.data.shards import Sample
from blipdiff.outputs import written_file

MOST_SHOWN = 24  # samples on the page


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that became no sample, and why."""

    photo: str
    reason: str


@dataclass(slots=True)
class Prepared:
    """How far the work is: counts over all shards, those of earlier runs included."""

    photos: int
    done: int = 0
    samples: int = 0
    captions: int = 0
    refused: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    others: list[Skipped] = field(default_factory=list)  # files that are no photos


def shown_sample(sample: Sample) -> dict[str, str]:
    """A sample's pictures for the report, small, as data."""
    alpha = sample.subject[..., 3:].astype(np.float32) / 255
    chequers = (np.indices(sample.subject.shape[:2]).sum(axis=0) // 8 % 2 * 50 + 180)[..., None]
    on_chequers = (sample.subject[..., :3] * alpha + chequers * (1 - alpha)).astype(np.uint8)
    pictures = {"picture": sample.picture, "mask": np.dstack([sample.mask] * 3), "subject": on_chequers}
    return {
        "source": sample.source,
        "category": sample.category,
        "captions": " / ".join(sample.captions),
        **{name: _data(picture) for name, picture in pictures.items()},
    }


def write_report(output: Path, state: Prepared) -> Path:
    """`report.html`: counts, samples, and each photo that was left out with its reason. Raises: OutputError."""
    shown = [
        one for path in sorted(output.glob("subjects-*.json")) for one in json.loads(path.read_text("utf-8"))["shown"]
    ][:MOST_SHOWN]
    rows = "".join(
        "<tr>"
        + "".join(f'<td><img alt="{name}" src="{one[name]}"></td>' for name in ("picture", "mask", "subject"))
        + f"<td><b>{html.escape(one['category'])}</b><br>{html.escape(one['captions'])}"
        + f"<br><small>{html.escape(one['source'])}</small></td></tr>"
        for one in shown
    )
    left_out = "".join(
        f"<tr><td>{html.escape(one.photo)}</td><td>{html.escape(one.reason)}</td></tr>"
        for one in [*state.skipped, *state.others]
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Prepared photos</title><style>'
        "body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }"
        "td { padding: .3rem .8rem .3rem 0; vertical-align: top } img { width: 160px; display: block }</style>"
        f"<h1>Prepared photos</h1><p>{state.samples} of {state.photos} photos became samples, with {state.captions} "
        f"captions; {state.refused} captions were refused, {len(state.skipped)} photos and "
        f"{len(state.others)} other files were left out.</p>"
        f"<h2>Samples</h2><table>{rows}</table><h2>Left out</h2><table>{left_out}</table></html>\n"
    )
    with written_file(output / "report.html") as part:
        part.write_text(page, "utf-8")
    return output / "report.html"


def _data(picture: Pixels) -> str:
    small = cv2.resize(picture, (160, 160), interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return "data:image/jpeg;base64," + b64encode(coded.tobytes()).decode()
