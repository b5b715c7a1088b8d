"""BLIP trained on questions: its text encoder reads the question beside the photo, its decoder speaks the answer.

Li et al. 2022 (arXiv:2201.12086, sec. 5.3), by transformers' own network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import BlipForQuestionAnswering

from blipdiff.devices import Placement
from blipdiff.images import PhotoSettings, subject_pixels
from blipdiff.language.answers import LIKELIEST, Answer, Looked, Speaking, Turn, checked_question
from blipdiff.language.captioners import blip_rows, drawing, loaded_blip, patch_sides, relevant_layer
from blipdiff.language.looking import check_looks
from blipdiff.language.relevance import gains, shares, watched
from blipdiff.language.spoken import compared, spoken
from blipdiff.transformers_types import BertTokenizer

_LONGEST_QUESTION = 35  # tokens, as it was trained
_ALONE = "blip-vqa reads one question at a time; what was asked before it does not know."


@dataclass(frozen=True, slots=True)
class VqaEngine:
    """Answers by BLIP's network for questions."""

    name: str
    network: Any
    tokenizer: BertTokenizer
    photo: PhotoSettings

    @property
    def about(self) -> str:
        """What it is, and what it is not for."""
        return f"{self.name} answers questions about photographs in a word or two, one by one."

    @torch.no_grad()
    def answer(
        self, photo: Image.Image, question: str, *, turns: Sequence[Turn] = (), speaking: Speaking = LIKELIEST
    ) -> Answer:
        """Raises: PromptError for a question that cannot be read, ImageError for a photo that shows nothing."""
        given = self.inputs(photo, checked_question(question))
        with drawing(speaking.seed):
            found = self.network.generate(**given, **speaking.returned())
        said = spoken(found, self.tokenizer, 1)
        return Answer(said[0][0], said if speaking.beams > 1 else (), notes=(_ALONE,) if turns else ())

    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """What it answers when asked what is there: it was not trained to speak captions."""
        asked = "what is in the picture?"
        each = [speaking.several(count).seeded(speaking.seed + place) for place in range(count)]
        return [self.answer(photo, asked, speaking=one).text for one in each]

    @torch.no_grad()
    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """The chance of "yes" against "no" to whether each is in the photo."""
        asked = [f"does this picture show {text}?" for text in texts]
        return [compared([float(self.likelihood(photo, one, answer)) for answer in ("yes", "no")])[0] for one in asked]

    def looked(
        self,
        photo: Image.Image,
        question: str,
        answer: Answer,
        turns: Sequence[Turn] = (),  # noqa: ARG002
    ) -> Looked:
        """GradCAM of the answer in the cross-attention of the text encoder, the mean over the question's words."""
        layers = self.network.text_encoder.encoder.layer
        layer = layers[relevant_layer(len(layers))].crossattention.self
        with torch.enable_grad(), watched([layer], layer.num_attention_heads, blip_rows) as seen:
            likely = self.likelihood(photo, checked_question(question), answer.text or "?")
            found = gains(likely, seen[0])[0].mean(dim=0)[1:-1].mean(dim=0)
        about = f"The question's cross-attention for '{answer.text}', by GradCAM."
        return Looked(shares(found, patch_sides(self.network)), about, "squash")

    def inputs(self, photo: Image.Image, question: str) -> dict[str, Tensor]:
        """What the network takes, as its processor makes it."""
        words = self.tokenizer(question, truncation=True, max_length=_LONGEST_QUESTION, return_tensors="pt")
        pixels = subject_pixels(photo, self.photo, fit="squash")[None]
        given = {"pixel_values": pixels, "input_ids": words.input_ids, "attention_mask": words.attention_mask}
        return {name: tensor.to(self.network.device) for name, tensor in given.items()}

    def scores(self, photo: Image.Image, question: str) -> Tensor:
        """Of the answer's first word: (vocabulary,)."""
        begin = torch.full((1, 1), self.network.decoder_start_token_id, device=self.network.device)
        return self._logits(photo, question, begin)[0, -1]

    def likelihood(self, photo: Image.Image, question: str, said: str) -> Tensor:
        """The log-likelihood that this is the answer: ()."""
        words = self.tokenizer(said, add_special_tokens=False, return_tensors="pt").input_ids.to(self.network.device)
        begin = torch.full_like(words[:, :1], self.network.decoder_start_token_id)
        logits = self._logits(photo, question, torch.cat([begin, words[:, :-1]], dim=1))
        return logits.float().log_softmax(dim=-1).gather(2, words[..., None]).sum()

    def _logits(self, photo: Image.Image, question: str, ids: Tensor) -> Tensor:
        """Of each next word of an answer (1, words, vocabulary): transformers' `forward` keeps them to itself."""
        given = self.inputs(photo, question)
        patches = self.network.vision_model(pixel_values=given["pixel_values"]).last_hidden_state
        read = self.network.text_encoder(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            encoder_hidden_states=patches,
            encoder_attention_mask=torch.ones(patches.shape[:-1], dtype=torch.long, device=patches.device),
        ).last_hidden_state
        found: Tensor = self.network.text_decoder(
            input_ids=ids, encoder_hidden_states=read, encoder_attention_mask=given["attention_mask"]
        ).logits
        return found


def load(name: str, folders: Mapping[str, Path], place: Placement) -> VqaEngine:
    """BLIP for questions from its folder, seen to look at photos. Raises: CheckpointError when there is none."""
    folder = folders["weights"]
    engine = VqaEngine(name, *loaded_blip(BlipForQuestionAnswering, folder, "BLIP for questions", place.device))
    check_looks(engine.scores, f"{name} in {folder}")
    return engine
