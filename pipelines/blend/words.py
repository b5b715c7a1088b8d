"""What a blend says of its subjects: sentences by their shares, encoded about the one blended subject."""

from collections.abc import Sequence
from typing import cast

import torch

from blipdiff.conditioning.guidance import Conditioning
from blipdiff.conditioning.mixing import Blend, joined_category, mix
from blipdiff.conditioning.paths import Shares
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.conditioning.weighting import Wording
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.blend.request import BlendRequest


def encode_spot(
    model: BlipDiffusion,
    request: BlendRequest,
    subjects: Sequence[SubjectEmbedding],
    shares: Shares,
    along: float = 0.0,
) -> tuple[Conditioning, SubjectEmbedding]:
    """One row of conditioning, and the blended subject in it.

    Smooth words are several sentences about the one blended subject, averaged by their shares once encoded: nothing
    jumps along a path, and at its ends stands one sentence alone.
    """
    subject = mix(
        list(zip(subjects, shares, strict=True)), cast("Blend", request.how), extrapolation=request.extrapolation
    )
    budget = model.positions - model.subject_slots
    sentences = _sentences(request, subjects, shares, along)
    texts = [amplify(text, model.prompt_tokenizer, budget, request.repeats).wording for text in sentences]
    found = model.encode_prompts(texts, [subject] * len(texts))
    if len(texts) == 1:
        return found, subject
    parts = torch.tensor(list(sentences.values())).to(found.embeddings)
    heaviest = int(parts.argmax())
    mean = (found.embeddings * parts[:, None, None]).sum(0, keepdim=True)
    return Conditioning(mean, (found.layouts[heaviest],), found.weights[:1]), subject


def _sentences(
    request: BlendRequest, subjects: Sequence[SubjectEmbedding], shares: Shares, along: float
) -> dict[Wording, float]:
    """Each sentence with its part of the whole; parts are above 0 and add up to 1."""
    if request.target is not None:
        words = {request.target: 1.0}
    elif request.categories == "joined":
        words = {joined_category(subjects, shares): 1.0}
    elif request.categories == "heaviest":
        words = {subjects[shares.index(max(shares))].category: 1.0}
    else:
        words = {}
        for subject, share in zip(subjects, shares, strict=True):
            words[subject.category] = words.get(subject.category, 0.0) + max(share, 0.0)
    prompts = {request.prompt: 1.0}
    if request.prompt_to is not None and request.prompt_to != request.prompt:
        prompts = {request.prompt: 1.0 - along, request.prompt_to: along}
    parts = {
        build_prompt(word, request.worded(prompt)): share * part
        for word, share in words.items()
        for prompt, part in prompts.items()
    }
    total = sum(parts.values())
    return {text: part / total for text, part in parts.items() if part > 0}
