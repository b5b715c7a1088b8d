"""Draws the figures of docs/how-it-works.md: python docs/figures/drawings.py

Every word stands on a filled shape of its own, and lines are of a middle grey, so that they are read on light and on
dark pages alike.
"""

from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

OUTPUT = Path(__file__).parents[1] / "how"
GIVEN, NET, ROWS, MADE, FROZEN = "#2e7d32", "#3949ab", "#8e24aa", "#c2410c", "#546e7a"
LINE = "#808898"
SIZE, LEADING = 14, 18  # pixels


@dataclass
class Figure:
    """Boxes and arrows, in pixels from the top left."""

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, width: int, height: int, text: str, fill: str) -> None:
        """A box; `|` in its text begins a new line."""
        lines = text.split("|")
        first = y + height / 2 - (len(lines) - 1) * LEADING / 2 + SIZE / 3
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}"/>')
        for number, line in enumerate(lines):
            place = f'x="{x + width / 2:g}" y="{first + number * LEADING:.0f}"'
            self.parts.append(f'<text {place} text-anchor="middle">{escape(line)}</text>')

    def arrow(self, *points: tuple[int, int], dashed: bool = False) -> None:
        """An arrow through the points."""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        path = " ".join(f"{x},{y}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="2"{dashes} marker-end="url(#end)"/>'
        )

    def save(self, name: str) -> None:
        """Writes it."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img"'
            f' font-family="system-ui, sans-serif" font-size="{SIZE}" fill="#fff">'
            f"\n<title>{escape(self.title)}</title>\n"
            '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            f' orient="auto"><path d="M0 0 8 4 0 8z" fill="{LINE}"/></marker></defs>\n'
        )
        (OUTPUT / name).write_text(head + "\n".join(self.parts) + "\n</svg>\n")


def model() -> None:
    """From photo and category to a picture."""
    one = Figure(900, 300, "Photo and category become 16 rows, which stand among the words that the U-Net reads.")
    one.box(10, 20, 110, 56, "photo", GIVEN)
    one.box(160, 20, 130, 56, "vision trunk|257 patches", NET)
    one.arrow((120, 48), (158, 48))
    one.box(330, 20, 150, 130, "Q-Former||16 queries look at|patches and words", NET)
    one.arrow((290, 48), (328, 48))
    one.box(10, 94, 280, 56, "category: dog", GIVEN)
    one.arrow((290, 122), (328, 122))
    one.box(520, 20, 130, 56, "projection", NET)
    one.arrow((480, 48), (518, 48))
    one.box(690, 20, 200, 56, "the subject: 16 rows", ROWS)
    one.arrow((650, 48), (688, 48))
    one.box(10, 214, 280, 56, "prompt: a dog on a beach", GIVEN)
    one.box(330, 194, 320, 76, "text encoder: the words,|the 16 rows among them", NET)
    one.arrow((290, 242), (328, 242))
    one.arrow((790, 76), (790, 170), (490, 170), (490, 192))
    one.box(690, 194, 86, 76, "U-Net|20 steps", NET)
    one.arrow((650, 232), (688, 232))
    one.box(810, 194, 80, 76, "picture", MADE)
    one.arrow((776, 232), (808, 232))
    one.save("model.svg")


def slots() -> None:
    """What the 77 slots hold."""
    one = Figure(900, 116, "The 77 slots of the prompt: begin, a, the 16 rows of the subject, dog, on a beach, end.")
    one.box(10, 10, 80, 46, "begin", FROZEN)
    one.box(96, 10, 50, 46, "a", GIVEN)
    one.box(152, 10, 330, 46, "16 rows of the subject", ROWS)
    one.box(488, 10, 70, 46, "dog", GIVEN)
    for number, word in enumerate(("on", "a", "beach")):
        one.box(564 + number * 66, 10, 60, 46, word, GIVEN)
    one.box(762, 10, 128, 46, "end, end, ...", FROZEN)
    for x, text, width in (
        (10, "slot 0", 80),
        (96, "1", 50),
        (152, "2 to 17", 330),
        (488, "18", 70),
        (564, "to 76", 326),
    ):
        one.box(x, 70, width, 32, text, "#455064")
    one.save("slots.svg")


def stage_one() -> None:
    """Representation: pictures and words learn one language."""
    one = Figure(900, 240, "Stage 1: one Q-Former under three attention masks, each with a loss of its own.")
    one.box(10, 20, 120, 60, "picture", GIVEN)
    one.box(170, 20, 150, 60, "vision trunk|(frozen)", FROZEN)
    one.box(10, 150, 120, 60, "its caption", GIVEN)
    one.box(370, 20, 180, 190, "Q-Former||16 queries, and|the caption's words", NET)
    one.arrow((130, 50), (168, 50))
    one.arrow((320, 50), (368, 50))
    one.arrow((130, 180), (368, 180))
    told = (
        "contrast: which caption|goes with which picture",
        "matching: do these|two belong together?",
        "captioning: the words,|one after the other",
    )
    for number, text in enumerate(told):
        one.box(620, 14 + number * 72, 270, 58, text, MADE)
        one.arrow((550, 43 + number * 72), (618, 43 + number * 72))
    one.save("stage-one.svg")


def stage_two() -> None:
    """Subject: draw the photo again from its cut-out on another ground."""
    one = Figure(
        900, 300, "Stage 2: the subject cut out on another ground is the input, the untouched photo the target."
    )
    one.box(10, 120, 120, 60, "photo|of a dog", GIVEN)
    one.box(180, 30, 150, 60, "cut out|by its category", FROZEN)
    one.box(370, 30, 170, 60, "on a random ground:|the input", GIVEN)
    one.box(580, 30, 310, 60, "trunk, Q-Former, projection: 16 rows", NET)
    one.arrow((70, 120), (70, 60), (178, 60))
    one.arrow((330, 60), (368, 60))
    one.arrow((540, 60), (578, 60))
    one.box(180, 210, 360, 60, "untouched, with noise: the target", GIVEN)
    one.arrow((70, 180), (70, 240), (178, 240))
    one.box(180, 120, 360, 60, "its caption: a dog on a sofa", GIVEN)
    one.arrow((130, 150), (178, 150))
    one.box(580, 120, 130, 150, "text encoder|and U-Net", NET)
    one.arrow((540, 150), (578, 150))
    one.arrow((540, 240), (578, 240))
    one.arrow((645, 90), (645, 118))
    one.box(750, 165, 140, 60, "which noise|was it?", MADE)
    one.arrow((710, 195), (748, 195))
    one.save("stage-two.svg")


def control() -> None:
    """A structure's map steers the U-Net beside the subject."""
    one = Figure(900, 220, "Stylize: a control net reads the structure's map and adds to the U-Net's own states.")
    one.box(10, 20, 160, 60, "photo: the look", GIVEN)
    one.box(220, 20, 250, 60, "16 rows among the words", ROWS)
    one.box(10, 140, 160, 60, "picture:|the structure", GIVEN)
    one.box(220, 140, 100, 60, "its map:|edges", GIVEN)
    one.box(370, 140, 220, 60, "control net: a copy|of the U-Net's way down", NET)
    one.box(640, 20, 120, 180, "U-Net", NET)
    one.box(800, 80, 90, 60, "picture", MADE)
    for points in (((170, 50), (218, 50)), ((470, 50), (638, 50)), ((170, 170), (218, 170)), ((320, 170), (368, 170))):
        one.arrow(*points)
    one.arrow((590, 170), (638, 170))
    one.arrow((420, 80), (420, 138), dashed=True)
    one.arrow((760, 110), (798, 110))
    one.save("control.svg")


def edit() -> None:
    """Two rows from one noise; the first lends the second its attention."""
    one = Figure(
        900, 290, "Edit: the source's row lends its attention to the target's row, and the rest of the picture."
    )
    one.box(10, 110, 150, 70, "one noise: found|from the photo", GIVEN)
    one.box(210, 20, 240, 66, "source: a cat on a sofa", GIVEN)
    one.box(210, 204, 240, 66, "target: a [16 rows] dog|on a sofa", ROWS)
    one.box(500, 20, 150, 66, "U-Net", NET)
    one.box(500, 204, 150, 66, "U-Net", NET)
    one.box(470, 112, 210, 66, "attention: words keep their|places, shapes theirs", MADE)
    one.box(730, 112, 160, 66, "mask: where cat|and dog are seen", MADE)
    one.box(730, 20, 160, 66, "the picture before", GIVEN)
    one.box(730, 204, 160, 66, "the edit: new inside,|as before outside", MADE)
    one.arrow((85, 110), (85, 53), (208, 53))
    one.arrow((85, 180), (85, 237), (208, 237))
    for y in (53, 237):
        one.arrow((450, y), (498, y))
        one.arrow((650, y), (728, y))
    one.arrow((575, 86), (575, 110))
    one.arrow((575, 178), (575, 202))
    one.arrow((680, 145), (728, 145))
    one.arrow((810, 178), (810, 202))
    one.save("edit.svg")


if __name__ == "__main__":
    OUTPUT.mkdir(exist_ok=True)
    for draw in (model, slots, stage_one, stage_two, control, edit):
        draw()
