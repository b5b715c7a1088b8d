"""Whether a change of the code leaves every task's pictures as they were, bit for bit, on one machine.

    python benchmarks/same_pictures.py record FOLDER      before the change
    python benchmarks/same_pictures.py compare FOLDER     after it

Every task runs through the command line at fixed seeds in float32, on a tiny random checkpoint and on the bundled
model; to compare is to draw all again, and to repeat each recorded PNG by --like.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

ROOT = Path(__file__).resolve().parents[1]
SUBJECTS = ROOT / "blipdiff" / "assets" / "subjects"
TINY = ROOT / "tests" / "recorded" / "parity" / "blipdiffusion-controlnet-tiny"

_PLACE = ["--device", "cpu", "--dtype", "float32"]
_QUICK = ["--steps", "4"]
_FILMS_AND_SHEETS = ("blend-path", "blend-map", "matrix", "attend")  # not repeated by --like


def tasks(model: str, photos: list[Path]) -> dict[str, list[str]]:
    """Each task's arguments, by the name of its folder; at least two ways through the larger ones."""
    first, second, third = (str(photo) for photo in photos)
    word, other, source = (photo.stem for photo in photos)
    subject = ["--subject", first, "--category", word]
    pair = ["--subject", f"{word}={first}", "--subject", f"{other}={second}"]
    follows = ["--preprocessor", "canny", *([] if model == "mini" else ["--control", str(TINY / "controlnet")])]
    edges = [*subject, "--structure", second, *follows]
    edit = ["--subject", first, "--from", source, "--to", word, "--prompt", "on a grass field"]
    found = {
        "generate": [*subject, "--prompt", "on a beach", "--count", "3", "--batch", "2", "--seed", "5"],
        "generate-choices": [
            *subject, "--prompt", "in the snow", "--target", other, "--negative", "a tree", "--scheduler", "euler-a",
            "--guidance-stop", "0.6", "--repeats", "3", "--count", "2", "--guidance", "4", "--seed", "6",
        ],
        "stylize": [*edges, "--prompt", "on a beach", "--seed", "7"],
        "stylize-layers": [
            *edges, "--strength", "0.7", "--stop", "0.5", "--subject-strength", "0.6", "--seed", "8", "--count", "2",
        ],
        "edit": [*edit, "--source", third, "--seed", "9"],
        "edit-drawn": [*edit, "--from-prompt", "--seed", "10", "--strength", "0.6"],
        "blend-one": [*pair, "--shape", "one", "--prompt", "on a beach", "--seed", "11"],
        "blend-path": [*pair, "--shape", "path", "--frames", "3", "--prompt", "in the snow", "--seed", "12"],
        "blend-map": [*pair, "--subject", f"{source}={third}", "--shape", "map", "--side", "3", "--seed", "13"],
        "scene": ["--prompt", f"a {{{word}}} and a {{{other}}} on a beach", *pair, "--count", "2", "--seed", "14"],
        "attend": [*subject, "--prompt", "on a beach", "--seed", "15"],
        "matrix": [
            "--subjects", f"{word}={first}", "--subjects", f"{other}={second}", "--structures", f"{source}={third}",
            *follows, "--seed", "16",
        ],
    }  # fmt: skip
    return {name: [name.split("-")[0], "--model", model, *_PLACE, *_QUICK, *asked] for name, asked in found.items()}


def draw(folder: Path) -> dict[str, str]:
    """Runs everything into `folder`, one process a task; what failed, with its last words."""
    failed = {}
    for model, path in {"tiny": str(TINY), "mini": "mini"}.items():
        for name, arguments in tasks(path, _photos()).items():
            ended = _run([*arguments, "--output", str(folder / model / name)])
            if ended.returncode:
                failed[f"{model}/{name}"] = ended.stderr.strip()[-300:]
    return failed


def compare(before: Path, after: Path) -> Iterator[str]:
    """A line for each picture, film and sheet that is missing, new or different."""
    listed = [{path.relative_to(root) for path in root.rglob("*") if _is_picture(path)} for root in (before, after)]
    yield from (f"{path}: missing" for path in sorted(listed[0] - listed[1]))
    yield from (f"{path}: new" for path in sorted(listed[1] - listed[0]))
    for path in sorted(listed[0] & listed[1]):
        if not _are_equal(before / path, after / path):
            yield f"{path}: differs"


def repeat(before: Path, folder: Path) -> Iterator[str]:
    """A line for each recorded PNG of a task with --like that is not drawn again bit for bit."""
    for path in sorted(before.rglob("*.png")):
        model, name = path.relative_to(before).parts[:2]
        if name in _FILMS_AND_SHEETS:
            continue
        drawn = folder / model / path.stem
        source = str(TINY) if model == "tiny" else "mini"
        photo = ["--source", str(_photos()[2])] if name == "edit" else []  # which metadata do not keep
        ended = _run([name.split("-")[0], "--model", source, "--like", str(path), *photo, "--output", str(drawn)])
        if ended.returncode:
            yield f"{path.relative_to(before)}: not repeated: {ended.stderr.strip()[-300:]}"
        elif not any(_are_equal(path, again) for again in drawn.rglob("*.png")):
            yield f"{path.relative_to(before)}: repeated differently"


def _photos() -> list[Path]:
    return sorted(SUBJECTS.glob("*.png"))[:3]


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in {".png", ".webp", ".gif"}


def _are_equal(first: Path, second: Path) -> bool:
    with Image.open(first) as one, Image.open(second) as other:
        frames = [
            [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(film)] for film in (one, other)
        ]
    return len(frames[0]) == len(frames[1]) and all(np.array_equal(a, b) for a, b in zip(*frames, strict=True))


def main() -> int:
    """Records or compares; 0 when nothing failed and nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    folder: Path = asked.folder.resolve()
    if asked.what == "record":
        troubles = [f"{name}: failed: {words}" for name, words in draw(folder / "before").items()]
        print(f"{sum(_is_picture(path) for path in folder.rglob('*'))} pictures, films and sheets in {folder}")
    else:
        troubles = [f"{name}: failed: {words}" for name, words in draw(folder / "after").items()]
        troubles += compare(folder / "before", folder / "after")
        troubles += repeat(folder / "before", folder / "again")
        print("All are equal." if not troubles else f"{len(troubles)} are not equal:")
    print("\n".join(troubles))
    return bool(troubles)


if __name__ == "__main__":
    sys.exit(main())
