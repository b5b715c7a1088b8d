"""Plug-and-Play VQA: captions of the patches that a question is about, read by a text model.

Tiong et al. 2022 (arXiv:2210.08773): a matcher's GradCAM says how relevant each patch is (sec. 3.2), captions are
spoken of patches drawn by that (sec. 3.3), a T5 reads question and captions, each caption encoded with the question
and all decoded together (sec. 3.4, Fusion-in-Decoder, Izacard and Grave 2021, arXiv:2007.01282). No part was trained
for it. Beside the paper: the reader is whichever T5 is given, Flan-T5 where none is and UnifiedQA there; the drawing
of captions ends after some rounds when no new ones come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.describer import BUNDLED_DESCRIBER, load_describer
from blipdiff.devices import Placement
from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign
from blipdiff.language.answers import LIKELIEST, Answer, Looked, Speaking, Turn, checked_question
from blipdiff.language.captioners import (
    DescriberCaptions,
    PatchCaptioner,
    PatchMatcher,
    drawing,
    load_captioner,
    load_matcher,
)
from blipdiff.language.looking import check_looks
from blipdiff.language.questions import understood, with_article
from blipdiff.language.spoken import spoken
from blipdiff.strict_networks import strict_network

CAPTIONS, PATCHES, ROUNDS = 20, 20, 5  # captions that are read, patches of each; rounds of drawing at most
_LONGEST = 512  # tokens of a question with a caption


class Reader(Protocol):
    """Answers a question from texts."""

    def read(self, question: str, texts: Sequence[str], speaking: Speaking) -> tuple[tuple[str, float], ...]:
        """Answers with their shares, the best first."""
        ...


@dataclass(frozen=True, slots=True)
class T5Reader:
    """UnifiedQA, or another T5, by transformers."""

    network: Any
    tokenizer: Any

    @torch.no_grad()
    def read(self, question: str, texts: Sequence[str], speaking: Speaking) -> tuple[tuple[str, float], ...]:
        """Answers with their shares, the best first."""
        states, mask = self.encoded(question, texts)
        with drawing(speaking.seed):
            found = self.network.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=states), attention_mask=mask, **speaking.returned()
            )
        return spoken(found, self.tokenizer, 1)

    def encoded(self, question: str, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The rows of question and text, each pair for itself, then all behind one another: (1, rows, width), mask."""
        pairs = [reading(question, text) for text in texts]
        words = self.tokenizer(pairs, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
        ids, mask = (one.to(self.network.device) for one in (words.input_ids, words.attention_mask))
        rows = self.network.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return rows.flatten(0, 1)[None], mask.flatten()[None]


@dataclass(frozen=True, slots=True)
class PlugAndPlayEngine:
    """Answers by three networks that were trained for other things."""

    name: str
    matcher: PatchMatcher
    captioner: PatchCaptioner
    reader: Reader
    count: int = CAPTIONS
    patches: int = PATCHES

    @property
    def about(self) -> str:
        """What it is, and what it is not for."""
        return f"{self.name} reads captions of what the question is about; it knows of the photo what they say."

    def answer(
        self, photo: Image.Image, question: str, *, turns: Sequence[Turn] = (), speaking: Speaking = LIKELIEST
    ) -> Answer:
        """Raises: PromptError for a question that cannot be read, ImageError for a photo that shows nothing."""
        question = checked_question(question)
        captions = self.told(photo, question, speaking.seed)
        before = "".join(f"{turn.question} {turn.answer}. " for turn in turns)
        said = self.reader.read(before + question, captions, speaking)
        return Answer(said[0][0], said if speaking.beams > 1 else (), read=tuple(captions))

    def told(self, photo: Image.Image, question: str, seed: int) -> list[str]:
        """Captions of patches drawn by their relevance to the question; none lies within one before it."""
        relevance = self.relevance(photo, question).flatten()
        each = min(self.patches, int((relevance > 0).sum()))
        generator = torch.Generator().manual_seed(seed)
        found: list[str] = []
        for turn in range(ROUNDS):
            chosen = torch.multinomial(relevance.expand(self.count, -1), each, generator=generator).sort(dim=1).values
            for caption in self.captioner.captions_of(photo, chosen, seed * ROUNDS + turn):
                if len(found) < self.count and not any(caption in one for one in found):
                    found.append(caption)
            if len(found) >= self.count:
                break
        return found or [""]

    def relevance(self, photo: Image.Image, question: str) -> Tensor:
        """Shares of the captioner's patches (rows, columns)."""
        shares = self.matcher.relevance(photo, self._looked_up(question))
        if shares.shape != self.captioner.sides:
            shares = torch.nn.functional.interpolate(shares[None, None], self.captioner.sides, mode="bilinear")[0, 0]
        return shares / shares.sum()

    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """By its captioner, of all patches."""
        return self.captioner.captions(photo, count, speaking)

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """By its matcher."""
        return self.matcher.matches(photo, texts)

    def looked(
        self,
        photo: Image.Image,
        question: str,
        answer: Answer,  # noqa: ARG002
        turns: Sequence[Turn] = (),  # noqa: ARG002
    ) -> Looked:
        """The relevance that captions were drawn by."""
        text = self._looked_up(checked_question(question))
        shares = self.matcher.relevance(photo, text)
        fit = self.matcher.fit if isinstance(self.matcher, DescriberCaptions) else "squash"
        return Looked(shares, f"The matcher's cross-attention for '{text}', by GradCAM.", fit)

    def scores(self, photo: Image.Image, question: str) -> Tensor:
        """Of a match, and how relevant each patch is: what differs between two photos."""
        match = torch.tensor(self.matcher.matches(photo, [question]))
        return torch.cat([match, self.relevance(photo, question).flatten()])

    def _looked_up(self, question: str) -> str:
        """The question without its mark, as the paper has it; of a describer, which reads none, what it is about."""
        asked = understood(question) if isinstance(self.matcher, DescriberCaptions) else None
        return with_article(asked.thing) if asked is not None and asked.thing else question.strip("?")


def reading(question: str, text: str) -> str:
    """A question and a caption as UnifiedQA was taught to read them, with a written-out line end between."""
    return f"{question.lower().strip()} \\n {text.lower().strip()}."


def load(name: str, folders: Mapping[str, Path], place: Placement) -> PlugAndPlayEngine:
    """The three networks from their folders, seen to look at photos. Raises: CheckpointError for one that is none."""
    describers = {
        part: DescriberCaptions(load_describer(device=place.device))
        for part, folder in folders.items()
        if str(folder) == BUNDLED_DESCRIBER
    }
    matcher = describers.get("matcher") or load_matcher(folders["matcher"], place.device)
    captioner = describers.get("captioner") or load_captioner(folders["captioner"], place.device)
    engine = PlugAndPlayEngine(name, matcher, captioner, load_reader(folders["reader"], place))
    check_looks(engine.scores, name)
    return engine


def load_reader(folder: Path, place: Placement) -> T5Reader:
    """A T5 from its folder. Raises: CheckpointError when the folder holds none."""
    found = read_json(folder / "config.json").get("model_type")
    if found != "t5":
        raise CheckpointError(f"{folder} holds {found!r}, and no T5 that reads captions.")
    with foreign(folder, "a folder with a T5"):
        network = strict_network(
            T5ForConditionalGeneration, str(folder), "T5", dtype=place.dtype, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return T5Reader(network.to(place.device).eval().requires_grad_(False), tokenizer)
