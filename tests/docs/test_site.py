"""The documentation builds as a site without a warning, asks nobody for anything, and links to what is there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import blipdiff
import pipelines
from app.api.application import ROUTERS
from app.cli.commands import listed

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("blipdiff/assets/*/README.md")),
]
MADE = {ROOT / "docs" / "reference" / name for name in ("python.md", "commands.md", "http.md")}  # on the site alone
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\bhref=["']?(?:https?:)?//"""
)


def built(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NO_MKDOCS_2_WARNING": "1"}
    asked = [sys.executable, "-m", "mkdocs", "build", "--strict", *options]
    return subprocess.run(asked, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="the site's theme is not installed: pip install 'blipdiff[docs]'")
    place = tmp_path_factory.mktemp("site")
    done = built("--site-dir", str(place))
    assert done.returncode == 0, done.stderr
    return place


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    assert [page.name for page in pages if FETCHED.search(page.read_text(encoding="utf-8"))] == []
    styles = [style for style in site.rglob("*.css") if re.search(r"url\(['\"]?(https?:)?//", style.read_text())]
    assert styles == []


def test_the_reference_names_every_command_route_and_public_name(site: Path) -> None:
    commands = text_of(site / "reference" / "commands.html")
    assert [name for name, _, _ in listed() if f"blipdiff {name}" not in commands] == []
    assert "--detail-start" in commands and "blipdiff subjects rename" in commands
    routes = text_of(site / "reference" / "http.html")
    paths = [route.path.replace(":path}", "}") for router in ROUTERS for route in router.routes]
    assert len(paths) > 30
    assert [path for path in paths if path.replace("{", "&#123;") not in routes] == []
    names = (site / "reference" / "python.html").read_text(encoding="utf-8")
    homes = [*pipelines._HOMES.items(), *blipdiff._HOMES.items()]
    assert [name for name, home in homes if f'id="{home}.{name}"' not in names] == []


def test_a_link_or_an_anchor_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    pytest.importorskip("material")
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "index.md"
    page.write_text("# A page\n\n[here](#a-page)\n")
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\nsite_dir: site\nhooks: []\nplugins: []\nnav: [index.md]\n"
    )
    assert built("--config-file", str(settings)).returncode == 0
    page.write_text("# A page\n\n[here](#elsewhere) [there](nothing.md)\n")
    done = built("--config-file", str(settings))
    assert done.returncode != 0
    assert "#elsewhere" in done.stderr and "nothing.md" in done.stderr


def links(page: Path) -> Iterator[tuple[str, str, str]]:
    """Whether it is a picture, its text, its address."""
    for found in LINK.finditer(CODE.sub("", page.read_text(encoding="utf-8"))):
        yield found[1], found[2], found[3]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_hold_on_a_git_host_too_and_pictures_say_what_they_show(page: Path) -> None:
    lost = []
    for is_picture, text, address in links(page):
        place = (page.parent / address.partition("#")[0]).resolve()
        if ":" not in address and not address.startswith("#") and not place.exists() and place not in MADE:
            lost.append(address)
        assert not is_picture or text.strip(), address
    assert lost == []


def test_screenshots_are_small_and_pages_are_no_books() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "screens").glob("*.png")}
    assert len(sizes) >= 8
    assert {name: size for name, size in sizes.items() if size > 200_000} == {}
    assert sum(sizes.values()) < 2_000_000
    assert [page.name for page in (ROOT / "docs").rglob("*.md") if page.stat().st_size > 60_000] == []
