"""Public pictures with transparency, fetched by the registries' own clients and rendered to RGBA."""

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from blipdiff.data.drawn.iconify import read_iconify, squeezed_names
from blipdiff.data.drawn.names import CLIPART_NOUNS, clipart_category, emoji_category
from blipdiff.data.drawn.packages import Drawing, Source, read_picture, render_svg, render_svg_file, stored_json
from blipdiff.errors import BlipdiffError, MissingDependencyError
from blipdiff.foreign import foreign
from blipdiff.outputs import written_folder

SOURCES = (
    Source("fluent", "npm", "@lobehub/fluent-emoji-3d", "1.1.0", "MIT", "Fluent Emoji, Microsoft Corporation"),
    Source("twemoji", "npm", "@twemoji/svg", "15.0.0", "CC-BY-4.0", "Twemoji, Twitter, Inc and other contributors"),
    Source("noto", "npm", "@svgmoji/noto", "3.2.0", "Apache-2.0", "Noto Emoji, Google LLC"),
    Source("openclipart", "apt", "openclipart-png", "", "public domain", "Open Clip Art Library and its artists"),
    Source(
        "fluent-flat", "npm", "@iconify-json/fluent-emoji-flat", "1.2.6", "MIT", "Fluent Emoji, Microsoft Corporation"
    ),
    Source("emojione", "npm", "@iconify-json/emojione", "1.2.3", "CC-BY-4.0", "EmojiOne 2, Emoji One"),
    Source("fxemoji", "npm", "@iconify-json/fxemoji", "1.2.2", "Apache-2.0", "FxEmojis, Mozilla"),
    Source("streamline", "npm", "@iconify-json/streamline-emojis", "1.2.4", "CC-BY-4.0", "Streamline Emojis"),
    Source("names", "npm", "emojibase-data", "17.0.0", "MIT", "Emojibase, Miles Johnson; Unicode CLDR"),
)
LEARNED_ONLY = ("fluent-flat", "emojione", "fxemoji", "streamline")  # nobody is judged by their held-out concepts
EMOJI_GROUPS = frozenset((0, 1, 3, 4, 5, 6, 7))
SKIPPED_SUBGROUPS = frozenset(("family", "skin-tone", "hair-style", "time", "emotion", "hotel"))
KEPT_SYMBOLS = frozenset(("geometric",))
SKIPPED_EMOJIS = frozenset(("middle finger", "placard", "identification card", "level slider", "control knobs"))
CLIPART_FOLDERS = (
    "animals", "food", "plants", "tools", "transportation/vehicles", "transportation/boating", "recreation/music",
    "recreation/party", "recreation/sports", "recreation/toys", "recreation/holiday", "recreation/games/chess",
    "buildings", "containers", "electronics", "office", "people", "computer/hardware", "education/books",
    "signs_and_symbols/clocks", "signs_and_symbols/weather", "science", "decorations", "unsorted", "transportation",
    "geography/astronomy", "shapes/jigsaw",
)  # fmt: skip
CLIPART_SKIPPED = re.compile(
    r"(^|[_-])(bw|bn|outline|contour|silhouet|silhouette|symbol|sign|flag|menu|text|logo|map|diagram|template|print|ink"
    r"|lane|route|buses|cycles|cycle_|motorway|ahead|cross|parking|opposite|grounded|cattle|old_folks|road|warning|bullet"
    r"|hole|number|rules|eclipse|example|riders|wild|no_|horse.png|weight|limit|priority|chess_?(board|game))"
)
CLIPART_SKIPPED_FOLDERS = frozenset(("stickmen", "roadsigns", "aiga-symbols", "pantyhose", "cards", "duplicates"))
EMOJI_FILE = re.compile(r"-?fe0f", re.IGNORECASE)


def fetch_sources(cache: Path) -> None:
    """Fetches and unpacks every source that `cache` does not hold yet.

    Raises: BlipdiffError where a client is missing or fails.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        folder = cache / source.name
        if folder.is_dir():
            continue
        with written_folder(folder) as fresh:
            (_fetch_npm if source.client == "npm" else _fetch_apt)(source, fresh)


def _fetch_npm(source: Source, folder: Path) -> None:
    _run(["npm", "pack", "--silent", f"{source.package}@{source.version}"], folder)
    for archive in folder.glob("*.tgz"):
        with foreign(archive, "a package of npm"), tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        archive.unlink()


def _fetch_apt(source: Source, folder: Path) -> None:
    _run(["apt-get", "download", source.package], folder)
    for archive in folder.glob("*.deb"):
        _run(["dpkg", "-x", archive.name, "."], folder)
        archive.unlink()


def _run(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise MissingDependencyError(f"The training pictures are fetched with {command[0]}, which is not installed.")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BlipdiffError(f"'{' '.join(command)}' failed: {(done.stderr or done.stdout).strip()[-400:]}")


def read_drawings(cache: Path) -> Iterator[Drawing]:
    """Every usable picture of every source under `cache`, in a fixed order, not yet rendered."""
    emojis = _emoji_names(cache / "names")
    yield from _files(cache / "fluent", "webp", "fluent", emojis)
    yield from _files(cache / "twemoji", "svg", "twemoji", emojis)
    yield from _noto(cache / "noto", emojis)
    if there := [source for source in LEARNED_ONLY if (cache / source).is_dir()]:
        spoken = squeezed_names(emojis, _short_codes(cache / "names"))
        for source in there:
            yield from read_iconify(cache / source, source, spoken)
    words = {word for label in emojis.values() for word in re.findall(r"[a-z]+", label[1])}
    yield from _clipart(cache / "openclipart", frozenset(words) | CLIPART_NOUNS)


def _emoji_names(folder: Path) -> dict[str, tuple[str, str]]:
    """Hexcode without variation selectors -> (label, category), for the emojis that make good subjects."""
    names = {}
    data: list[dict[str, Any]] = stored_json(folder, "en/data.json")
    subgroups: dict[str, str] = stored_json(folder, "meta/groups.json")["subgroups"]
    for emoji in data:
        subgroup = subgroups.get(str(emoji.get("subgroup")), "")
        label = emoji["label"].lower()
        wanted = emoji.get("group") in EMOJI_GROUPS or subgroup in KEPT_SYMBOLS
        if wanted and subgroup not in SKIPPED_SUBGROUPS and label not in SKIPPED_EMOJIS:
            category = "hand" if subgroup.startswith("hand-") else emoji_category(label)
            names[_plain_code(emoji["hexcode"])] = (label, category)
    return names


def _short_codes(folder: Path) -> dict[str, list[str]]:
    """Hexcode without variation selectors -> the short codes that other programs have for it."""
    found: dict[str, list[str]] = {}
    for kind in ("emojibase", "github", "iamcal", "joypixels", "cldr"):
        for code, short in stored_json(folder, f"shortcodes/{kind}.json").items():
            found.setdefault(_plain_code(code), []).extend([short] if isinstance(short, str) else short)
    return found


def _plain_code(code: str) -> str:
    return EMOJI_FILE.sub("", code.lower())


def _files(folder: Path, ending: str, source: str, emojis: dict[str, tuple[str, str]]) -> Iterator[Drawing]:
    render = render_svg_file if ending == "svg" else read_picture
    for path in sorted(folder.rglob(f"*.{ending}")):
        if named := emojis.get(_plain_code(path.stem)):
            yield Drawing(*named, source, partial(render, path))


def _noto(folder: Path, emojis: dict[str, tuple[str, str]]) -> Iterator[Drawing]:
    for sprite in sorted(folder.rglob("sprites/all.svg")):
        ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
        ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
        with foreign(sprite, "an SVG"):
            root = ElementTree.parse(sprite).getroot()
        for picture in root:
            if named := emojis.get(_plain_code(picture.get("id", ""))):
                text = ElementTree.tostring(picture, encoding="unicode")
                yield Drawing(*named, "noto", partial(render_svg, text, str(sprite)))


def _clipart(folder: Path, vocabulary: frozenset[str]) -> Iterator[Drawing]:
    for root in sorted(folder.rglob("openclipart/png")):
        for path in sorted(root.rglob("*.png")):
            inside = path.parent.relative_to(root)
            if path.is_symlink() or CLIPART_SKIPPED.search(path.stem.lower()):
                continue
            if not _is_wanted(inside) or CLIPART_SKIPPED_FOLDERS & set(inside.parts):
                continue
            if category := clipart_category(path.stem, inside.name, vocabulary):
                yield Drawing(path.stem.lower(), category, "openclipart", partial(read_picture, path))


def _is_wanted(folder: Path) -> bool:
    name = folder.as_posix()
    return any(name == wanted or name.startswith(f"{wanted}/") for wanted in CLIPART_FOLDERS)
