"""The pieces of HTML that the page is made of where no control fits; every text in them is escaped here."""

import base64
import html
import io
from collections.abc import Mapping, Sequence

from PIL import Image

from app.plain import plain
from app.ui.subjects import MOST_SUBJECTS, Tile
from app.ui.texts import retold, said
from blipdiff.images import as_rgb

_ABOUT = "New pictures of your own subject: a photo, a word for what it is, and a scene."


def escaped(text: object) -> str:
    """Any text as HTML that shows it and does nothing else; letters that are not seen as themselves are written out."""
    return html.escape(plain(text))


def heading(told: Mapping[str, str], about: str = "") -> str:
    """The page's title, what its model is for, and which one runs where."""
    facts = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in told.items())
    note = f'<p class="purpose">{escaped(about)}</p>' if about else ""
    return (
        '<header class="masthead"><div><h1>blipdiff</h1>'
        f'<p class="tagline">{escaped(said(_ABOUT))}</p>{note}</div>'
        f'<dl>{facts}</dl><button type="button" class="keys-button" data-keys>{escaped(said("Keys"))}</button></header>'
    )


def welcome(*steps: str) -> str:
    """What to do, where pictures will be."""
    told = "".join(f"<li>{escaped(step)}</li>" for step in steps)
    return f'<div class="welcome"><p><strong>Your pictures will be here.</strong></p><ol>{told}</ol></div>'


def subjects(tiles: Sequence[Tile]) -> str:
    """The subjects side by side; for none, what a subject may be."""
    if not tiles:
        hint = said("One photo, up to {most} photos of the same thing, or a subject card.", most=MOST_SUBJECTS)
        return f'<p class="hint">{escaped(hint)}</p>'
    return f'<ul class="subjects">{"".join(_subject(tile) for tile in tiles)}</ul>'


def previews(seeds: Sequence[int], pictures: Mapping[int, bytes]) -> str:
    """The pictures being drawn, as JPEG files by their seeds; empty frames where nothing is to be seen of them yet."""
    frames = "".join(_frame(seed, pictures.get(seed)) for seed in seeds)
    grid = f"--columns: {columns(len(seeds))}"
    label = escaped(said("Pictures being drawn"))
    return f'<div class="previews" role="group" aria-label="{label}" style="{grid}">{frames}</div>'


def columns(count: int) -> int:
    """Few pictures are shown large, many beside each other."""
    return 2 if count <= 4 else 4


def progress(text: str, done: int | None, whole: int) -> str:
    """A bar and its words; `done` None for work of unknown length. It changes often, so it is not read aloud."""
    value = "" if done is None else f' value="{done}"'
    bar = f'<progress max="{whole}"{value} aria-label="{escaped(said("Progress"))}"></progress>'
    return f'<div class="progress"><span aria-live="off">{escaped(text)}</span>{bar}</div>'


def message(text: str, kind: str = "plain") -> str:
    """A sentence that stays: "plain", "good" or "bad"; one that the catalogue knows in the visitor's language."""
    return f'<p class="message {escaped(kind)}">{escaped(retold(text))}</p>'


def _subject(tile: Tile) -> str:
    about = said("subject card: {category}", category=tile.category) if tile.category else said("photo")
    alt = f"{tile.name}, {about}"
    seen = f'<span class="blank" aria-hidden="true">{escaped(said("card"))}</span>'
    if tile.picture is not None:
        seen = f'<img src="{data(tile.picture)}" alt="{escaped(alt)}">'
    told = said("card: {category}", category=tile.category)
    caption = f"<figcaption>{escaped(told)}</figcaption>" if tile.category else ""
    return f'<li><figure title="{escaped(alt)}">{seen}{caption}</figure></li>'


def _frame(seed: int, picture: bytes | None) -> str:
    caption = f"<figcaption>{escaped(said('seed {seed}', seed=seed))}</figcaption>"
    if picture is None:
        return f'<figure><div class="blank"></div>{caption}</figure>'
    alt = escaped(said("Preview, seed {seed}", seed=seed))
    return f'<figure><img src="{_inline(picture)}" alt="{alt}">{caption}</figure>'


def data(picture: Image.Image) -> str:
    """The picture inside the page: no file to serve, none to clear away."""
    stream = io.BytesIO()
    as_rgb(picture).save(stream, format="JPEG", quality=80)
    return _inline(stream.getvalue())


def _inline(file: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(file).decode()}"
