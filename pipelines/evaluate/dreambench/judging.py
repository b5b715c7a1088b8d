"""A judge of the reader's own, over HTTP, off by default: marks for a kept subject and a followed prompt."""

import base64
import hashlib
import io
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.evaluation.dreambench.benchmark import BenchPicture
from blipdiff.evaluation.dreambench.scores import Scored
from blipdiff.foreign import first_line
from blipdiff.images import fitted, open_picture
from blipdiff.outputs import written_file
from pipelines.evaluate.dreambench.run_folder import RunFolder
from pipelines.evaluate.requests import EvaluationProgress

JUDGING = "judging"
KEPT, FOLLOWED = "subject kept", "prompt followed"
BEST = 4  # the highest mark, as DreamBench++ has it (Peng et al. 2024, arXiv:2406.16855)

_SIDE, _TRIES, _SECONDS = 512, 3, 120.0
_MARK = re.compile(r"score\W*([0-4])\b", re.IGNORECASE)
_QUESTIONS = {
    KEPT: "The first picture is a photo of a subject: {subject}. The second was generated to show that very subject in "
    "another scene. Compare shape, colours, texture and, where there is one, the face. How well is the subject kept? "
    "0 is another thing, 1 poorly, 2 fairly, 3 well, 4 the very same. Leave pose, ground and style out of account. "
    "Think first; end with one line: Score: N",
    FOLLOWED: 'The picture was generated for the caption "{caption}". How well does it show what the caption says: the '
    "things, their attributes, the relations between them, the style? 0 is not at all, 1 poorly, 2 fairly, 3 well, 4 "
    "everything. Think first; end with one line: Score: N",
}


@dataclass(frozen=True, slots=True)
class Judge:
    """An endpoint with OpenAI's chat completions: its address up to /v1, the model's name, a key where it has one."""

    address: str
    model: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Raises: ConfigError for what is no address, and for a missing model."""
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"The judge's address is '{self.address}'; give one like http://127.0.0.1:8000/v1.")
        if not self.model.strip():
            raise ConfigError("Say which model judges, with --judge-model.")

    @property
    def name(self) -> str:
        """Which judge it is, in sixteen letters: its address, its model and what it is asked."""
        told = json.dumps([self.address, self.model, _QUESTIONS])
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def mark(self, question: str, pictures: Sequence[Image.Image]) -> float:
        """Its mark as a share of the best one. Raises: BlipdiffError for no answer, or one without a mark."""
        reason = "it gave no mark"
        for number in range(_TRIES):
            if number:
                time.sleep(2.0**number)
            try:
                answer = self._answer(question, pictures)
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.reason}"
                if error.code in (400, 401, 403, 404):
                    break
                continue
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                reason = first_line(error)
                continue
            if marks := _MARK.findall(answer):
                return int(marks[-1]) / BEST
            reason = f"it gave no mark: {answer[-80:]!r}"
        raise BlipdiffError(f"The judge at {self.address} does not answer ({reason}). What it has judged is kept.")

    def _answer(self, question: str, pictures: Sequence[Image.Image]) -> str:
        shown = [{"type": "image_url", "image_url": {"url": _data(one)}} for one in pictures]
        content: list[dict[str, Any]] = [{"type": "text", "text": question}, *shown]
        body = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": content}]}
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        address = f"{self.address.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=_SECONDS) as found:
            return str(json.load(found)["choices"][0]["message"]["content"])


def judged(
    judge: Judge, folder: RunFolder, pictures: Sequence[BenchPicture], scored: Sequence[Scored]
) -> Generator[EvaluationProgress, None, list[Scored]]:
    """Progress after each picture, whose marks are kept at once; returns the scores with their marks."""
    path = folder.place / "judged" / f"{judge.name}.json"
    kept: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    asked = {one.name: one for one in pictures}
    for number, one in enumerate(scored):
        if one.name not in kept:
            kept[one.name] = _marks(judge, folder.picture(asked[one.name]), asked[one.name])
            with written_file(path) as part:
                part.write_text(json.dumps(kept), "utf-8")
        yield EvaluationProgress(JUDGING, number + 1, len(scored))
    return [replace(one, marks=kept[one.name]) for one in scored]


def _marks(judge: Judge, path: Path, picture: BenchPicture) -> dict[str, float]:
    subject, drawn = picture.subject, open_picture(path)
    photo = open_picture(subject.photos[0])
    return {
        KEPT: judge.mark(_QUESTIONS[KEPT].format(subject=subject.category), [photo, drawn]),
        FOLLOWED: judge.mark(_QUESTIONS[FOLLOWED].format(caption=picture.caption), [drawn]),
    }


def _data(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    fitted(picture, (_SIDE, _SIDE), "pad").save(buffer, format="JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
