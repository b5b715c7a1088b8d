"""The dial that derives an edit's windows from its strength."""

from dataclasses import dataclass

# strength -> (cross-attention stop, self-attention stop, blend threshold, fresh noise); the middle is the authors'.
_DIAL = ((0.0, (1.0, 1.0, 0.6, 0.0)), (0.5, (0.8, 0.4, 0.3, 0.0)), (1.0, (0.0, 0.0, 0.0, 1.0)))


@dataclass(frozen=True, slots=True)
class EditDial:
    """The four settings that trade the source's composition for the edit's freedom."""

    cross_stop: float  # until which fraction of the run words take the source's attention
    self_stop: float  # until which fraction places take the source's
    blend_threshold: float  # from which height of the words' map on latents are edited
    fresh_noise: float  # share of new noise among that which a photo was inverted to


def derived(strength: float) -> tuple[float, ...]:
    """An `EditDial`'s four values of a strength, straight between its three marks."""
    (left, low), (right, high) = _DIAL[:2] if strength <= _DIAL[1][0] else _DIAL[1:]
    share = (strength - left) / (right - left)
    return tuple((1 - share) * one + share * other for one, other in zip(low, high, strict=True))
