"""Files of the repository outside `docs` that pages link to become part of the site, so that one link serves both.

A page links to `../LOG.md` as it would on a git host. Here each such file joins the site under its path in the
repository: Markdown as a page, whose own links are followed likewise, other text and pictures as they are.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = "docs"
WITHOUT_LINKS = {"LICENSE", "NOTICE", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md"}  # in the menu
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what pages link to and what the menu names."""
    waiting = sorted({*WITHOUT_LINKS, *_linked_from(Path(DOCS).rglob("*.md"))})
    seen: set[str] = set()
    while waiting:
        place = waiting.pop()
        if place in seen or place.startswith(f"{DOCS}/") or not (ROOT / place).is_file():
            continue
        seen.add(place)
        files.append(File.generated(config, _site_name(place), abs_src_path=str(ROOT / place)))
        if place.endswith(".md"):
            waiting += _linked_from([Path(place)])
    return files


def on_page_markdown(markdown: str, page: Page, **_others: object) -> str:
    """Turns links to the repository's files into links within the site."""
    source = page.file.src_uri
    here = _source(page)

    def turned(found: re.Match[str]) -> str:
        start, address, anchor, end = found.groups()
        place = _place(here, address)
        if place is None or not (ROOT / place).is_file():
            return found.group()
        target = place.removeprefix(f"{DOCS}/") if place.startswith(f"{DOCS}/") else place
        return f"{start}{posixpath.relpath(_site_name(target), posixpath.dirname(source) or '.')}{anchor or ''}{end}"

    return _outside_code(LINK, turned, markdown)


def _site_name(place: str) -> str:
    """What a file is called on the site: the top README is not its index, and browsers show text, not LICENSE."""
    if place == "README.md":
        return "readme.md"
    return place if Path(place).suffix else f"{place}.txt"


def _source(page: Page) -> str:
    """The file in the repository that a page is made of; a page made by code counts as one of `docs`."""
    path = Path(page.file.abs_src_path or ROOT / DOCS / page.file.src_uri)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else f"{DOCS}/{page.file.src_uri}"


def _linked_from(pages: Iterator[Path] | list[Path]) -> Iterator[str]:
    for path in pages:
        text = CODE.sub("", (ROOT / path).read_text(encoding="utf-8"))
        for found in LINK.finditer(text):
            place = _place(path.as_posix(), found[2])
            if place is not None:
                yield place


def _place(here: str, address: str) -> str | None:
    """The file of the repository that a link in the file `here` leads to; None for other addresses."""
    if ":" in address or address.startswith("/"):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(here), unquote(address)))


def _outside_code(pattern: re.Pattern[str], turned: object, text: str) -> str:
    parts, end = [], 0
    for code in CODE.finditer(text):
        parts += [pattern.sub(turned, text[end : code.start()]), code.group()]  # type: ignore[call-overload]
        end = code.end()
    return "".join([*parts, pattern.sub(turned, text[end:])])  # type: ignore[call-overload]
