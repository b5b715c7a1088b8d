"""Every error that a person can cause: what was given, what was expected, what to do."""

from collections.abc import Sequence


class BlipdiffError(Exception):
    """Base of all errors that the applications show as one sentence, without a traceback."""


class PromptError(BlipdiffError):
    """A prompt, category or negative prompt that cannot be used."""


class ImageError(BlipdiffError):
    """A picture that cannot be read, or that is too small or too large to use."""


class CheckpointError(BlipdiffError):
    """A model folder or file that is missing, incomplete, of another layout or damaged."""


class ConfigError(BlipdiffError):
    """A setting outside its range, unknown, or in conflict with another one."""


class ShapeError(BlipdiffError):
    """A tensor of another shape than the model or the mathematics asks for."""


class SubjectError(BlipdiffError):
    """A subject card that is damaged, or that another model has made."""


class OutputError(BlipdiffError):
    """A folder or file that cannot be written."""


class NumericsError(BlipdiffError):
    """Not-a-number or infinite values in weights, losses or latents."""


class OutOfMemoryError(BlipdiffError):
    """The device has too little memory for what was asked."""


class MissingDependencyError(BlipdiffError):
    """An optional package is needed for this and not installed."""


_MEMORY_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")  # torch, OpenVINO
_NO_PRIMITIVE = ("could not create a primitive", "could not create a memory object")  # oneDNN, in these words alone


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the system has no more."""
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    told = str(error).lower()
    return isinstance(error, RuntimeError) and (
        told.strip(" .") in _NO_PRIMITIVE or any(sign in told for sign in _MEMORY_SIGNS)
    )


def listed(names: list[str] | tuple[str, ...], most: int = 10) -> str:
    """The first `most` of `names` as one readable phrase, with a count of those left out."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def unfit(missing: Sequence[str], unexpected: Sequence[str], misshaped: Sequence[str]) -> str:
    """Which tensors of a file do not fit a network, the first ten of each fault; nothing where all of them do."""
    faults = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshaped))
    return "; ".join(f"{len(names)} {kind}: {listed(list(names))}" for kind, names in faults if names)
