"""A describer as an engine: its heads answer four kinds of question.

It has never read a question: each is understood by its form, and put to the head that can tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from blipdiff.errors import PromptError, listed
from blipdiff.images import PhotoFit
from blipdiff.language import verdicts
from blipdiff.language.answers import LIKELIEST, Answer, Looked, Speaking, Turn, checked_question
from blipdiff.language.captioners import DescriberCaptions
from blipdiff.language.questions import COLOURS, Asked, bare, thing_and_place, understood, with_article
from blipdiff.models.describer import SURE, Describer

MOST_NAMED = 5
_KNOWN = "Drawn things on plain ground are what it knows, and no photographs."
_KINDS = (
    'what it is ("what is it?"), its colour ("what colour is the cup?"), whether it is something ("is it a cup?", "is '
    'the cup red?"), and which of several ("is it a cup or a bowl?")'
)


@dataclass(frozen=True, slots=True)
class DescriberEngine:
    """Answers by a describer of this project, the bundled one or one's own."""

    describer: Describer
    fit: PhotoFit = "pad"

    @property
    def name(self) -> str:
        """That of the describer."""
        return self.describer.name

    @property
    def about(self) -> str:
        """What it is, and what it is not for."""
        return f"{self.name} knows drawn things on plain ground. It tells {_KINDS}; it reads no other question."

    def answer(
        self, photo: Image.Image, question: str, *, turns: Sequence[Turn] = (), speaking: Speaking = LIKELIEST
    ) -> Answer:
        """Raises: PromptError for a question of another kind, ImageError for a photo that shows nothing."""
        asked = self._asked(question)
        patches = self.describer.patches([photo], fit=self.fit)
        notes = (*self._notes(patches), *self._unread(asked))
        if asked.kind == "caption":
            return Answer(self.captions(photo, 1, speaking)[0], notes=notes)
        found = self._found(patches, asked, self._spoken_of(turns) or self._first(patches))
        text = with_article(found[0][0]) if asked.kind == "what" else found[0][0]
        return Answer(text, found, notes=notes)

    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """The likeliest caption, or `count` drawn ones."""
        return DescriberCaptions(self.describer, self.fit).captions(photo, count, speaking)

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """By its matching head."""
        return DescriberCaptions(self.describer, self.fit).matches(photo, texts)

    def looked(self, photo: Image.Image, question: str, answer: Answer, turns: Sequence[Turn] = ()) -> Looked:
        """Relevance of patches to what was asked about, in the matcher's cross-attention."""
        asked = self._asked(question)
        named = bare(answer.text) if asked.kind in ("what", "which") else asked.thing
        thing = named or self._spoken_of(turns) or self._first(self.describer.patches([photo], fit=self.fit))
        text = answer.text if asked.kind == "caption" else with_article(thing)
        shares = DescriberCaptions(self.describer, self.fit).relevance(photo, text)
        return Looked(shares, f"The matcher's cross-attention for '{text}', by GradCAM.", self.fit)

    def _asked(self, question: str) -> Asked:
        asked = understood(checked_question(question))
        if asked is None:
            raise PromptError(
                f"{self.name} tells only {_KINDS}; this question is of another kind. Engines that read any question "
                "need their weights: blip-vqa, plug-and-play, blip-2, instructblip."
            )
        return asked

    def _found(self, patches: Tensor, asked: Asked, it: str) -> verdicts.Shares:
        """Possible answers; it: the thing that a question means which names none."""
        if asked.kind == "what":
            return self.describer.ranked(patches)[0][:MOST_NAMED]
        if asked.kind == "colour":
            return verdicts.colours(self.describer, patches, self._known(patches, asked.thing or it))
        if asked.kind == "which" and all(option in COLOURS for option in asked.options):
            return verdicts.colours(self.describer, patches, self._known(patches, it), asked.options)
        if asked.kind == "which":
            return verdicts.likeliest(self.describer, patches, asked.options)
        yes = self._chance(patches, asked, it)
        return verdicts.ranked(("yes", "no"), (yes, 1 - yes))

    def _chance(self, patches: Tensor, asked: Asked, it: str) -> float:
        """That a thing is there, of this colour, in this place: the least likely of what was asked."""
        known = asked.thing in self.describer.categories
        thing, place = (asked.thing, "") if known else thing_and_place(asked.thing)
        chances = []
        if thing and not asked.is_presumed:
            chances.append(verdicts.thing_chance(self.describer, patches, thing))
        if asked.colour:
            chances.append(
                verdicts.colour_chance(self.describer, patches, self._known(patches, thing or it), asked.colour)
            )
        if place:
            chances.append(verdicts.place_chance(self.describer, patches, thing or it, place))
        return min(chances, default=verdicts.thing_chance(self.describer, patches, thing or it))

    def _first(self, patches: Tensor) -> str:
        return self.describer.ranked(patches)[0][0][0]

    def _known(self, patches: Tensor, thing: str) -> str:
        """The name by which its captioner can call a thing: its own where that was never read."""
        return thing if thing in self.describer.categories else self._first(patches)

    def _spoken_of(self, turns: Sequence[Turn]) -> str:
        """What "it" stands for: the last thing that was named, "" where there was none."""
        for turn in reversed(turns):
            asked = understood(turn.question)
            if asked is not None and (asked.thing or asked.kind in ("what", "which")):
                return thing_and_place(asked.thing or bare(turn.answer))[0]
        return ""

    def _unread(self, asked: Asked) -> tuple[str, ...]:
        """That it never read a name that was asked for."""
        known = {*self.describer.categories, *COLOURS, ""}
        named = (thing_and_place(one)[0] for one in (asked.thing, *asked.options))
        unread = [f"'{name[:40]}'" for name in named if name not in known]
        if not unread:
            return ()
        return (f"Among the {len(self.describer.categories):,} names that it has read there is no {listed(unread)}.",)

    def _notes(self, patches: Tensor) -> tuple[str, ...]:
        first, chance = self.describer.ranked(patches)[0][0]
        if chance >= SURE:
            return ()
        return (f"It is not sure what this is: '{first}' at {chance:.0%}.", _KNOWN)
