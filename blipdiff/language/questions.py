"""The kinds of question that a matcher and a captioner can answer: what is it, what colour, is it, which of these."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

PLACES = (
    "on a white background", "on a striped background", "on a checkered background", "on a polka dot background",
    "in front of a brick wall", "on a wooden floor", "on a wooden table", "in a room", "on a grass field",
    "in a flower field", "on a beach", "in the snow", "in the sea", "in a forest", "in a desert", "in the mountains",
    "at sunset", "in the rain", "on a road", "under a night sky", "in space", "on the moon", "in a city at night",
    "in fire", "under water",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "gray", "black")

Kind: TypeAlias = Literal["what", "colour", "whether", "which", "caption"]

_SHOWN = r"(?:it|this|that|(?:the |this )?(?:photo|picture|image|drawing))"
_SEEING = r"(?: (?:see|show|shows|contain|a (?:photo|picture|image) of))?"
_BEGIN = rf"(?:is|are|was|does|do|can|could) (?:there|you|{_SHOWN}){_SEEING}"
_COLOUR = re.compile(r"^(?:what|which) colou?rs?(?: (?:is|are|has|does|do))? (.+?)(?: have| in)?$")
_CAPTION = re.compile(rf"^(?:describe|caption)\b|^what (?:does {_SHOWN} show|do you see|is happening)")
_WHAT = re.compile(rf"^what(?:'s| is| are)? (?:the |an? )?(?:{_SHOWN}|thing|object|subject|in|on|shown|main)\b")
_WHICH = re.compile(rf"^(?:which(?: one)?(?: of (?:these|them))?(?: is (?:it|this|that))?[:,]?|{_BEGIN})\s+(.+)$")
_WHETHER = re.compile(rf"^{_BEGIN}\s+(.+)$")
_THING_IS = re.compile(r"^(?:is|are) (?:the|this|that|my|its) (.+) ([a-z]+)$")
_THING_AT = re.compile(
    r"^(?:is|are) (?:the|this|that|my|its) (.+?) ((?:on|in|at|under|against|beside|by|near|behind)\b.+)$"
)
_PLACE = re.compile(r"(?:^| )((?:on|in|at|under|against|beside|by|near|behind|inside|among)\b .+)$")
_ARTICLE = re.compile(r"^(?:the|an?|some|any|this|that|my|its) ")
_THIS = re.compile(rf"^{_SHOWN}$|^(?:they|them|these|those|he|she|thing|object|one)$")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it was understood.

    thing: what it is about, "" for whatever the photo shows; options: what is to be chosen from
    """

    kind: Kind
    thing: str = ""
    options: tuple[str, ...] = ()
    colour: str = ""  # of `thing`, where that is what shall be true
    is_presumed: bool = False  # whether `thing` is taken to be there: "the cup"


def understood(question: str) -> Asked | None:
    """What a question asks; None for one of another kind."""
    text = re.sub(r"\s+", " ", question.lower().strip(" ?!.")).replace("grey", "gray")
    text = re.sub(r"\bcolor", "colour", text)
    if found := _COLOUR.match(text):
        return Asked("colour", bare(found[1]))
    if found := _WHICH.match(text):
        options = tuple(bare(one) for one in re.split(r", (?:or )?| or |,", found[1]) if one.strip())
        if len(options) > 1 and (" or " in found[1] or text.startswith("which")):
            return Asked("which", options=options)
    if found := _WHETHER.match(text):
        return _whether(bare(found[1]))
    if found := _THING_AT.match(text):
        return Asked("whether", f"{bare(found[1])} {found[2]}".strip(), is_presumed=True)
    if found := _THING_IS.match(text):
        return _of_the_thing(found[1], found[2])
    if _CAPTION.match(text):
        return Asked("caption")
    return Asked("what") if _WHAT.match(text) else None


def bare(words: str) -> str:
    """A thing's name without its article; "" for "it" and the like."""
    name = _ARTICLE.sub("", words.strip())
    return "" if _THIS.match(words.strip()) or _THIS.match(name) else name


def thing_and_place(words: str) -> tuple[str, str]:
    """ "cup on a table" -> "cup" and "on a table"; either may be empty."""
    found = _PLACE.search(words)
    return (words[: found.start()].strip(), found[1]) if found else (words, "")


def with_article(name: str) -> str:
    """ "an apple", as captions say it."""
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def _of_the_thing(thing: str, said: str) -> Asked | None:
    return Asked("whether", bare(thing), colour=said, is_presumed=True) if said in COLOURS else None


def _whether(said: str) -> Asked:
    first, _, rest = said.partition(" ")
    if first in COLOURS:
        return Asked("whether", rest, colour=first)
    return Asked("whether", said)
