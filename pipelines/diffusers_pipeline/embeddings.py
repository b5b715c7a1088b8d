"""Embeddings in the diffusers face: diffusers' own methods, which leave tokenizer and text encoder as they are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from blipdiff.checkpoints.embeddings import Embedding, with_embeddings
from blipdiff.models.added_words import WordsTokenizer
from blipdiff.models.identity import Addition
from pipelines.diffusers_pipeline.with_model import WithModel


class EmbeddingParts(WithModel):
    """diffusers' methods of textual inversion for a pipeline that has a `model`."""

    _words: WordsTokenizer | None
    _additions: tuple[Addition, ...]

    def load_textual_inversion(
        self,
        pretrained_model_name_or_path: Any,
        token: str | Sequence[str | None] | None = None,
        *,
        weight_name: str | None = None,
        local_files_only: bool = False,
    ) -> None:
        """As diffusers has it: one embedding, or a list of them, each with the word that stands for it in prompts.

        A file, a folder, a hub id, or a state dict; a word of several vectors is written once. The tokenizer and the
        text encoder stay as they are.

        Raises: CheckpointError for a file that is no embedding of this model, ConfigError for a word that is none.
        """
        several = isinstance(pretrained_model_name_or_path, list)
        sources = pretrained_model_name_or_path if several else [pretrained_model_name_or_path]
        tokens = [token] * len(sources) if token is None or isinstance(token, str) else list(token)
        model = self.model
        for source, word in zip(sources, tokens, strict=True):
            place = str(Path(source) / weight_name) if weight_name else source
            model = with_embeddings(model, [Embedding(place, word)], download=not local_files_only)
        self._words, self._additions = cast(WordsTokenizer, model.prompt_tokenizer), model.additions

    def unload_textual_inversion(self, tokens: str | Sequence[str] | None = None) -> None:
        """Forgets the words of embeddings: these, or all of them."""
        given = [tokens] if isinstance(tokens, str) else tokens
        names = None if given is None else {word.strip().lower() for word in given}
        if self._words is not None:
            left = {} if names is None else {w: v for w, v in self._words.vectors.items() if w not in names}
            self._words = replace(self._words, vectors=left) if left else None
        self._additions = tuple(
            one for one in self._additions if one.kind != "embedding" or (names is not None and one.name not in names)
        )
