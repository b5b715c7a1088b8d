"""BLIP-2 and InstructBLIP: a language model that is told a photo by the rows of a Q-Former.

Li et al. 2023 (arXiv:2301.12597, sec. 3.2) and Dai et al. 2023 (arXiv:2305.06500, sec. 2.3), where the Q-Former reads
the question too; both by transformers' own networks. Of a photo's place in the prompt they are told by a token that
stands there once for each query: it is put there here, by the network's own number of queries, whatever an older
processor's settings say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoTokenizer,
    Blip2ForConditionalGeneration,
    InstructBlipForConditionalGeneration,
)

from blipdiff.checkpoints.configs import photo_settings, read_json
from blipdiff.devices import Placement
from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign
from blipdiff.images import PhotoSettings, subject_pixels
from blipdiff.language.answers import LIKELIEST, Answer, Looked, Speaking, Turn, checked_question
from blipdiff.language.captioners import drawing, patch_sides
from blipdiff.language.looking import check_looks, prompt_with_photo
from blipdiff.language.relevance import gains, shares, watched
from blipdiff.language.spoken import compared, spoken
from blipdiff.strict_networks import strict_network

IMAGE_TOKEN = "<image>"
_LONGEST_PROMPT = 512  # tokens


@dataclass(frozen=True, slots=True)
class Wording:
    """How a network was taught to be asked."""

    question: str  # of {question}
    turn: str  # of {question} and {answer}
    caption: str
    shows: str = "Does this picture show {text}? Answer yes or no."  # VQAScore's (Lin et al. 2024, arXiv:2404.01291)

    def asked(self, question: str, turns: Sequence[Turn]) -> str:
        """The question behind the turns before it."""
        before = "".join(self.turn.format(question=turn.question, answer=turn.answer) for turn in turns)
        return before + self.question.format(question=question)


BLIP_2 = Wording("Question: {question} Answer:", "Question: {question} Answer: {answer}. ", "a photo of")
BLIP_2_T5 = Wording("Question: {question} Short answer:", BLIP_2.turn, "a photo of")
INSTRUCTBLIP = Wording(
    "{question}", "Question: {question} Answer: {answer}. ", "Write a short description for the image."
)


@dataclass(frozen=True, slots=True)
class ConditionalEngine:
    """Answers by BLIP-2 or InstructBLIP."""

    name: str
    network: Any
    tokenizer: Any
    photo: PhotoSettings
    wording: Wording
    asking: Any | None = None  # the tokenizer of InstructBLIP's Q-Former

    @property
    def about(self) -> str:
        """What it is, and what it is not for."""
        return f"{self.name} speaks freely of photographs; it may say what is not there."

    @torch.no_grad()
    def answer(
        self, photo: Image.Image, question: str, *, turns: Sequence[Turn] = (), speaking: Speaking = LIKELIEST
    ) -> Answer:
        """Raises: PromptError for a question that cannot be read, ImageError for a photo that shows nothing."""
        said = self._said(photo, self.wording.asked(checked_question(question), turns), speaking)
        return Answer(said[0][0], said if speaking.beams > 1 else ())

    @torch.no_grad()
    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """The likeliest one, or `count` drawn ones."""
        return [text for text, _ in self._said(photo, self.wording.caption, speaking.several(count), count)]

    @torch.no_grad()
    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """The chance of "yes" against "no" to whether the photo shows each text (arXiv:2404.01291)."""
        asked = [self.wording.asked(self.wording.shows.format(text=text), ()) for text in texts]
        return [compared([float(self.likelihood(photo, one, answer)) for answer in ("yes", "no")])[0] for one in asked]

    def looked(self, photo: Image.Image, question: str, answer: Answer, turns: Sequence[Turn] = ()) -> Looked:
        """Cross-attention of the Q-Former: InstructBLIP's reads the question; in BLIP-2, the answer's part in it."""
        asked = self.wording.asked(checked_question(question), turns)
        former = self.network.qformer
        layers = [layer.crossattention.attention for layer in former.encoder.layer if layer.has_cross_attention]
        heads, sides = former.config.num_attention_heads, patch_sides(self.network)
        if self.asking is not None:
            with torch.no_grad(), watched(layers, heads, _rows) as seen:
                self.scores(photo, asked)
            found = torch.stack([attention[0].float().mean(dim=(0, 1)) for attention in seen]).mean(dim=0)
            return Looked(shares(found, sides), "The Q-Former's cross-attention under this question.", "squash")
        with torch.enable_grad(), watched(layers, heads, _rows) as seen:
            likely = self.likelihood(photo, asked, answer.text or "?")
            found = torch.stack([gains(likely, attention)[0].float().mean(dim=(0, 1)) for attention in seen]).sum(dim=0)
        return Looked(
            shares(found, sides), f"The Q-Former's cross-attention for '{answer.text}', by GradCAM.", "squash"
        )

    def inputs(self, photo: Image.Image, text: str) -> dict[str, Tensor]:
        """What the network takes, as its processor makes it.

        Raises: CheckpointError and PromptError where the photo would have no place in the prompt.
        """
        words = self.tokenizer(text, truncation=True, max_length=_LONGEST_PROMPT, return_tensors="pt").input_ids
        token, queries = self.network.config.image_token_id, self.network.query_tokens.shape[1]
        ids = prompt_with_photo(words, token, queries, self.name)
        pixels = subject_pixels(photo, self.photo, fit="squash")[None].to(self.network.dtype)
        found = {"pixel_values": pixels, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.asking is not None:
            read = self.asking(text, truncation=True, max_length=_LONGEST_PROMPT, return_tensors="pt")
            found |= {"qformer_input_ids": read.input_ids, "qformer_attention_mask": read.attention_mask}
        return {name: tensor.to(self.network.device) for name, tensor in found.items()}

    def scores(self, photo: Image.Image, text: str) -> Tensor:
        """Of the first word that would follow: (vocabulary,)."""
        given = self.inputs(photo, text)
        if self.network.config.use_decoder_only_language_model:
            found: Tensor = self.network(**given).logits[0, -1]
            return found
        begin = self.network.config.text_config.decoder_start_token_id
        first = torch.full((1, 1), begin, device=self.network.device)
        return self.network(**given, decoder_input_ids=first).logits[0, -1]  # type: ignore[no-any-return]

    def likelihood(self, photo: Image.Image, text: str, said: str) -> Tensor:
        """The log-likelihood that `said` follows: ()."""
        given = self.inputs(photo, text)
        words = self.tokenizer(f" {said}", add_special_tokens=False, return_tensors="pt").input_ids
        words = words.to(self.network.device)
        if self.network.config.use_decoder_only_language_model:
            ids = torch.cat([given["input_ids"], words], dim=1)
            given |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            logits = self.network(**given).logits[:, -words.shape[1] - 1 : -1]
        else:
            begin = torch.full_like(words[:, :1], self.network.config.text_config.decoder_start_token_id)
            logits = self.network(**given, decoder_input_ids=torch.cat([begin, words[:, :-1]], dim=1)).logits
        return logits.float().log_softmax(dim=-1).gather(2, words[..., None]).sum()  # type: ignore[no-any-return]

    def _said(self, photo: Image.Image, text: str, speaking: Speaking, count: int = 1) -> tuple[tuple[str, float], ...]:
        given = self.inputs(photo, text)
        with drawing(speaking.seed):
            found = self.network.generate(**given, **speaking.returned(count))
        is_continued = self.network.config.use_decoder_only_language_model
        return spoken(found, self.tokenizer, given["input_ids"].shape[1] if is_continued else 0)


def load(name: str, folders: Mapping[str, Path], place: Placement) -> ConditionalEngine:
    """BLIP-2 or InstructBLIP from its folder, seen to look at photos.

    Raises: CheckpointError when the folder holds another network, or one that answers without looking.
    """
    folder = folders["weights"]
    kind = {"blip-2": Blip2ForConditionalGeneration, "instructblip": InstructBlipForConditionalGeneration}[name]
    found = read_json(folder / "config.json").get("model_type")
    if str(found).replace("_", "-") != name:
        raise CheckpointError(f"{folder} holds {found!r}, and no network of {name}.")
    with foreign(folder, f"a folder with a network of {name}"):
        network = strict_network(kind, str(folder), name, dtype=place.dtype, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        asks = name == "instructblip"
        asking = AutoTokenizer.from_pretrained(folder / "qformer_tokenizer", local_files_only=True) if asks else None
    network = network.to(place.device).eval().requires_grad_(False)
    _name_image_token(network, tokenizer, folder)
    continues = network.config.use_decoder_only_language_model
    wording = INSTRUCTBLIP if asks else BLIP_2 if continues else BLIP_2_T5
    photo = photo_settings(read_json(folder / "preprocessor_config.json"), {})
    engine = ConditionalEngine(name, network, tokenizer, photo, wording, asking)
    check_looks(engine.scores, f"{name} in {folder}")
    return engine


def _name_image_token(network: Any, tokenizer: Any, folder: Path) -> None:
    """Checkpoints of before transformers 4.46 name no token for the photo: one that no word has is taken.

    Raises: CheckpointError where the network's table of words has no room for one.
    """
    rows = network.get_input_embeddings().weight.shape[0]
    token = network.config.image_token_id
    if token is None:
        own = tokenizer.get_vocab().get(IMAGE_TOKEN)
        token = own if own is not None else len(tokenizer)
        network.config.image_token_index = token
    if not 0 <= token < rows:
        raise CheckpointError(
            f"{folder} has no room for the <image> token: it is number {token}, and the language model knows {rows}."
        )


def _rows(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Tensor, Tensor]:
    return given[0] if given else named["hidden_states"], named["encoder_hidden_states"]
