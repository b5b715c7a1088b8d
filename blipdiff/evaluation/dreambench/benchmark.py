"""What a benchmark asks for: subjects with their photos and prompts, read from the folder in which it is published."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blipdiff.errors import ConfigError, ImageError, listed
from blipdiff.images import open_picture

DREAMBENCH, DREAMBENCH_PLUS = "DreamBench", "DreamBench++"
PUBLISHED_PICTURES: Mapping[str, int] = {DREAMBENCH: 4, DREAMBENCH_PLUS: 1}  # of each subject and prompt

# How many photos of each subject are published: DreamBooth's data set, 158 in all.
PHOTOS: Mapping[str, int] = {
    **dict.fromkeys(("backpack", "berry_bowl", "can", "clock", "dog2", "dog3", "fancy_boot"), 6),
    **dict.fromkeys(("pink_sunglasses", "shiny_sneaker", "vase"), 6),
    **dict.fromkeys(("backpack_dog", "bear_plushie", "candle", "cat", "cat2", "colorful_sneaker", "dog"), 5),
    **dict.fromkeys(("dog5", "dog6", "dog7", "dog8", "grey_sloth_plushie", "monster_toy", "poop_emoji"), 5),
    **dict.fromkeys(("rc_car", "robot_toy", "teapot", "wolf_plushie"), 5),
    **dict.fromkeys(("duck_toy", "red_cartoon"), 4),
}
LIVE = frozenset({"cat", "dog"})  # classes that are asked for with the prompts of live subjects

_PROMPTS_FILE = "prompts_and_classes.txt"
_PLUS_PROMPTS = 9  # of each subject: 4 photorealistic, 3 in a style, 2 imaginative
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
_CLASS = re.compile(r"^([a-z0-9_]+),([a-z ]+)$", re.MULTILINE)
_TEMPLATE = re.compile(r"'(a [^']*\{0\} \{1\}[^']*)'")


@dataclass(frozen=True, slots=True)
class BenchPrompt:
    """One prompt. caption: what pictures are scored for; target, prompt: the same as a model is asked for it."""

    caption: str
    prompt: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class BenchSubject:
    """One subject: its name in the benchmark, its class word, its photos in order and its prompts."""

    name: str
    category: str
    photos: tuple[Path, ...]
    prompts: tuple[BenchPrompt, ...]


@dataclass(frozen=True, slots=True)
class BenchPicture:
    """One picture that is asked for; `number` counts through the whole benchmark, and is added to the seed."""

    subject: BenchSubject
    prompt: int
    place: int
    number: int

    @property
    def name(self) -> str:
        """Its file's path among the pictures of a run."""
        return f"{self.subject.name}/{self.prompt:02}-{self.place}.png"

    @property
    def caption(self) -> str:
        """What it is scored for."""
        return self.subject.prompts[self.prompt].caption


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All subjects. missing: photos that are published and are not there, or cannot be read."""

    name: str
    subjects: tuple[BenchSubject, ...]
    missing: tuple[str, ...] = ()

    def pictures(self, each: int) -> list[BenchPicture]:
        """Every picture, `each` of a prompt: the first prompt of all subjects first, so that a part shows all of them.

        Numbers go by subject, prompt and place, whatever the order.
        """
        numbers = {
            (subject.name, prompt): each * (sum(len(one.prompts) for one in self.subjects[:place]) + prompt)
            for place, subject in enumerate(self.subjects)
            for prompt in range(len(subject.prompts))
        }
        rounds = range(max((len(one.prompts) for one in self.subjects), default=0))
        return [
            BenchPicture(subject, prompt, place, numbers[subject.name, prompt] + place)
            for prompt in rounds
            for subject in self.subjects
            if prompt < len(subject.prompts)
            for place in range(each)
        ]

    def fingerprint(self) -> str:
        """Photos, class words and prompts in sixteen letters."""
        digest = hashlib.sha256(self.name.encode())
        for subject in self.subjects:
            digest.update(repr((subject.name, subject.category, subject.prompts)).encode())
            for photo in subject.photos:
                digest.update(hashlib.sha256(photo.read_bytes()).digest())
        return digest.hexdigest()[:16]


def read_benchmark(folder: Path, *, allow_missing: bool = False) -> Benchmark:
    """DreamBench (prompts_and_classes.txt beside folders of photos) or DreamBench++ (images/ and captions/).

    allow_missing: go on with the photos that are there, and leave out subjects of which none is

    Raises: ConfigError for a folder that holds neither, for damaged prompts, and for missing photos, which are listed.
    """
    places = (folder, folder / "dataset", folder / "data")
    for place in places:
        if (place / _PROMPTS_FILE).is_file():
            return _complete(_dreambench(place), allow_missing)
        if (place / "captions").is_dir() and (place / "images").is_dir():
            return _complete(_dreambench_plus(place), allow_missing)
    raise ConfigError(
        f"{folder} is no copy of DreamBench ({_PROMPTS_FILE} beside a folder of photos for each subject) or of "
        "DreamBench++ (images and captions). The first is at github.com/google/dreambooth, the second at "
        "github.com/yuangpeng/dreambench_plus."
    )


def _complete(benchmark: Benchmark, allow_missing: bool) -> Benchmark:
    if benchmark.missing and not allow_missing:
        raise ConfigError(
            f"{len(benchmark.missing)} photos of {benchmark.name} are missing or cannot be read: "
            f"{listed(list(benchmark.missing))}. Put them there, or go on without them with --allow-missing."
        )
    kept = tuple(subject for subject in benchmark.subjects if subject.photos)
    if not kept:
        raise ConfigError(f"No photo of {benchmark.name} is there.")
    return Benchmark(benchmark.name, kept, benchmark.missing)


def _dreambench(folder: Path) -> Benchmark:
    text = _read(folder / _PROMPTS_FILE)
    classes = {name: word.strip() for name, word in _CLASS.findall(text) if name != "subject_name"}
    templates = _TEMPLATE.findall(text)
    half = len(templates) // 2  # those of objects come first
    if not classes or len(templates) < 2 or len(templates) % 2:
        raise ConfigError(
            f"{folder / _PROMPTS_FILE} has {len(classes)} classes and {len(templates)} prompts; the published file has "
            "30 and 25 each for objects and live subjects."
        )
    subjects, missing = [], list[str]()
    for name, word in classes.items():
        photos = _photos(folder / name, missing, [f"{number:02}" for number in range(PHOTOS.get(name, 1))])
        asked = templates[half:] if word in LIVE else templates[:half]
        subjects.append(BenchSubject(name, word, tuple(photos), tuple(_prompt(one, word) for one in asked)))
    return Benchmark(DREAMBENCH, tuple(subjects), tuple(missing))


def _prompt(template: str, word: str) -> BenchPrompt:
    """A template without its unique token: 'a red {0} {1}' asks for the target 'red dog'."""
    caption = template.replace("{0} ", "").replace("{1}", word)
    before, _, after = template.partition("{0} {1}")
    adjective = before.removeprefix("a").strip()
    return BenchPrompt(caption, after.strip(), f"{adjective} {word}" if adjective else None)


def _photos(folder: Path, missing: list[str], published: Sequence[str]) -> list[Path]:
    """The photos that can be read, in order; those that should be there and are not go to `missing`."""
    there = {path.stem: path for path in _pictures(folder)}
    found = []
    for stem in sorted({*published, *there}):
        path = there.get(stem)
        if path is None or not _is_readable(path):
            missing.append(f"{folder.name}/{path.name if path else stem + '.jpg'}")
        else:
            found.append(path)
    return found


def _dreambench_plus(folder: Path) -> Benchmark:
    subjects, missing = [], list[str]()
    for path in sorted((folder / "captions").rglob("*.txt")):
        lines = [line.strip() for line in _read(path).splitlines() if line.strip()]
        if len(lines) != _PLUS_PROMPTS + 1:
            raise ConfigError(
                f"{path} has {len(lines)} lines; DreamBench++ has the subject and {_PLUS_PROMPTS} captions."
            )
        place = path.relative_to(folder / "captions").with_suffix("")
        photos = _photos_of(folder / "images" / place.parent, place.name, missing)
        name = "_".join([*place.parts, lines[0].lower().replace(" ", "_")])
        prompts = tuple(_plus_prompt(caption, lines[0]) for caption in lines[1:])
        subjects.append(BenchSubject(re.sub(r"[^\w.-]", "_", name), lines[0], photos, prompts))
    if not subjects:
        raise ConfigError(f"{folder / 'captions'} holds no captions.")
    return Benchmark(DREAMBENCH_PLUS, tuple(subjects), tuple(missing))


def _photos_of(folder: Path, stem: str, missing: list[str]) -> tuple[Path, ...]:
    path = next((one for one in _pictures(folder) if one.stem == stem), None)
    if path is not None and _is_readable(path):
        return (path,)
    missing.append(f"{folder.name}/{path.name if path else stem + '.jpg'}")
    return ()


def _plus_prompt(caption: str, category: str) -> BenchPrompt:
    """A model's own sentence begins with 'a' and the category; a caption that begins so is not given them twice."""
    own = re.compile(rf"(an?|the)\s+{re.escape(category)}\b\s*", re.IGNORECASE)
    return BenchPrompt(caption, own.sub("", caption, count=1) if own.match(caption) else caption)


def _pictures(folder: Path) -> Iterator[Path]:
    paths = folder.iterdir() if folder.is_dir() else iter(())
    return (path for path in sorted(paths) if path.suffix.lower() in _ENDINGS)


def _is_readable(path: Path) -> bool:
    try:
        open_picture(path)
    except ImageError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        raise ConfigError(f"{path} cannot be read: {reason}.") from reason
