"""What was learned of a subject, in jobs: its tensors where it is still to be drawn, its fingerprint in pictures."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.conditioning.subject_weights import Acting, SubjectWeights
from blipdiff.errors import ConfigError, SubjectError

_MOST = 32  # subjects of one mixture


def weights_told(weights: Sequence[Acting]) -> dict[str, Any]:
    """What JSON can hold of them: "tuned", and "tensors" where they are here."""
    from safetensors.torch import save

    told = [
        {
            "fingerprint": one.weights.fingerprint,
            "base": one.weights.base,
            "least_rank": one.weights.least_rank,
            "share": one.share,
        }
        for one in weights
    ]
    tensors = {
        f"{number}.{name}": tensor.contiguous()
        for number, one in enumerate(weights)
        for name, tensor in one.weights.tensors.items()
    }
    if not tensors:
        return {"tuned": told}
    return {"tuned": told, "tensors": base64.b64encode(save(tensors)).decode()}


def weights_of(told: Mapping[str, Any]) -> tuple[Acting, ...]:
    """What `weights_told` wrote. Raises: ConfigError for damaged ones."""
    tuned = told["tuned"]
    tensors = _tensors(told.get("tensors"))
    if not isinstance(tuned, list) or not 0 < len(tuned) <= _MOST:
        raise ConfigError("The job is damaged: what was learned of a subject cannot be read.")
    return tuple(_one(number, one, tensors) for number, one in enumerate(tuned))


def lacking(subject: Any) -> list[str]:
    """The fingerprints of weights that a subject was drawn with, and that are not here."""
    return [one.weights.fingerprint for one in getattr(subject, "weights", ()) if not one.weights.tensors]


def with_weights(subject: SubjectEmbedding, cards: Sequence[SubjectEmbedding]) -> SubjectEmbedding:
    """A subject with the weights that it lacks, out of cards. Raises: ConfigError where none of them has those."""
    known = {one.weights.fingerprint: one.weights for card in cards for one in card.weights if one.weights.tensors}
    if missing := [one for one in lacking(subject) if one not in known]:
        raise ConfigError(
            f"The picture was drawn with what was learned of {subject.category!r} ({missing[0]}); give the card of it "
            "with --subject."
        )
    weights = tuple(replace(one, weights=known.get(one.weights.fingerprint, one.weights)) for one in subject.weights)
    return replace(subject, weights=weights)


def _one(number: int, told: Any, tensors: Mapping[str, Any]) -> Acting:
    own = {name.removeprefix(f"{number}."): tensor for name, tensor in tensors.items() if name.startswith(f"{number}.")}
    try:
        seen, base, least, share = (told[name] for name in ("fingerprint", "base", "least_rank", "share"))
        if not isinstance(seen, str) or not isinstance(base, str) or not (least is None or isinstance(least, int)):
            raise TypeError
        weights = SubjectWeights.of(own, base, least_rank=least) if own else SubjectWeights({}, seen, base, least)
        if weights.fingerprint != seen:
            raise SubjectError("its fingerprint is another")
        return Acting(weights, float(share))
    except (KeyError, TypeError, ValueError, SubjectError) as error:
        raise ConfigError("The job is damaged: what was learned of a subject cannot be read.") from error


def _tensors(text: Any) -> Mapping[str, Any]:
    from safetensors.torch import load

    if text is None:
        return {}
    try:
        found: Mapping[str, Any] = load(base64.b64decode(text, validate=True))
        return found
    except Exception as error:  # whatever the damage: text, base64 or container
        raise ConfigError("The job is damaged: what was learned of a subject cannot be read.") from error
