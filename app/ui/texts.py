"""Every text that people read on the page: written in English where it is used, told in the language of the visitor.

The Chinese stands in `app/assets/texts/zh`, by the English. What is on the page as it is built is told when it is
served (`app/ui/spoken.py`), so it is written there as it is; what a handler says goes through `said`.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

ENGLISH = "en"
OTHERS = {"zh": "zh-CN"}  # languages with a catalogue, and what browsers call them
GRADIO = "gradio.json"  # the part of a catalogue with words of Gradio's that are in none of its own
_SCRIPTS = ("scripts.json", GRADIO)  # what the page's scripts need

_TEXTS = Path(str(files("app"))) / "assets" / "texts"
_TAG = re.compile(r"(<[^>]*>)")
_TOLD_OF_TAG = re.compile(r"""((?:aria-label|alt|title|placeholder)=")([^"]*)(")""")
_MARKS = re.compile(r"^([#*\s]*)(.*?)([*\s]*)$", re.DOTALL)
_FEWEST = 4  # letters of its own by which a template is known
_PLACE = re.compile(r"\{(\w+)\}")
_spoken: ContextVar[str] = ContextVar("spoken", default=ENGLISH)


def language() -> str:
    """The language of whoever is being answered; English where nobody is."""
    return _spoken.get()


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within it everything is said in this language."""
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def said(text: str, /, **values: object) -> str:
    """A text in the visitor's language; `values` go into its {places}, of which a text without values has none."""
    told = catalogue(language()).get(text, text)
    return told.format(**values) if values else told


def retold(text: str) -> str:
    """A finished English sentence in the visitor's language, if the catalogue has it or the template it was made by.

    For what is not said by the page itself: labels of parameters, sentences of jobs, errors. Others stay as they are.
    """
    known = catalogue(language())
    if not known or text in known:
        return known.get(text, text)
    for pattern, template in _patterns(language()):
        if found := pattern.fullmatch(text):
            return template.format(**{name: _value(value) for name, value in found.groupdict().items()})
    return text


def _value(text: str) -> str:
    """What stands in a template's place: each of several, where it lists them."""
    return ", ".join(map(retold, text.split(", ")))


def told_html(text: str, tell: Callable[[str], str] = retold) -> str:
    """HTML with its texts told anew, and what its tags tell to readers of screens."""

    def escaped(part: str) -> str:
        return html.escape(told_marked(html.unescape(part), tell)) if part.strip() else part

    def tag(part: str) -> str:
        return _TOLD_OF_TAG.sub(lambda found: found[1] + escaped(found[2]) + found[3], part)

    return "".join(tag(part) if place % 2 else escaped(part) for place, part in enumerate(_TAG.split(text)))


def told_marked(text: str, tell: Callable[[str], str] = retold) -> str:
    """A text told anew; marks of Markdown around it stay."""
    found = _MARKS.fullmatch(text)
    assert found is not None  # it matches everything
    return found[1] + tell(found[2]) + found[3]


@lru_cache
def catalogue(language: str) -> Mapping[str, str]:
    """The texts of a language by the English ones; none for English."""
    return {text: told for part in catalogue_files(language) for text, told in read(part).items()}


def catalogue_files(language: str) -> list[Path]:
    """The files of a language's catalogue."""
    return sorted((_TEXTS / language).glob("*.json"))


def read(part: Path) -> dict[str, str]:
    """One file of a catalogue."""
    found: dict[str, str] = json.loads(part.read_text(encoding="utf-8"))
    return found


def script_texts(language: str) -> dict[str, str]:
    """What the page's scripts say, by the English."""
    return {
        text: told for part in catalogue_files(language) if part.name in _SCRIPTS for text, told in read(part).items()
    }


def gradio_words() -> dict[str, dict[str, str]]:
    """Gradio's words that its own catalogues lack, by their names there: for each language as Gradio calls it."""
    return {part.stem: read(part) for part in sorted((_TEXTS / "gradio").glob("*.json"))}


def places(text: str) -> list[str]:
    """The names of a template's places."""
    return sorted(_PLACE.findall(text))


@lru_cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """What each template makes, those with the most words of their own first."""
    templates = [
        (text, told)
        for text, told in catalogue(language).items()
        if _PLACE.search(text) and sum(letter.isalpha() for letter in _PLACE.sub("", text)) >= _FEWEST
    ]
    templates.sort(key=lambda one: -len(_PLACE.sub("", one[0])))
    return [(_pattern(text), told) for text, told in templates]


def _pattern(template: str) -> re.Pattern[str]:
    parts, seen = [], set[str]()
    for place, part in enumerate(_PLACE.split(template)):
        if place % 2 == 0:
            parts.append(re.escape(part))
        else:
            parts.append(f"(?P={part})" if part in seen else f"(?P<{part}>.+?)")
            seen.add(part)
    return re.compile("".join(parts), re.DOTALL)
