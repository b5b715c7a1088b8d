"""Too little memory: how it is known, and what is asked for less of."""

from dataclasses import fields, is_dataclass, replace

from blipdiff.errors import OutOfMemoryError
from pipelines.job import Job

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")  # torch, by device and system
TOO_LITTLE = "There is too little memory for this; ask for a smaller batch or a smaller size."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the system has no more."""
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def halved(job: Job) -> Job | None:
    """The job with half its batch; None where nothing is drawn together that could be drawn one by one."""
    request = job.request
    if not is_dataclass(request) or isinstance(request, type):
        return None
    batch = min(int(getattr(request, "batch", 1)), int(getattr(request, "count", 1)))
    is_asked = any(item.name == "batch" and item.init for item in fields(request))
    if not is_asked or batch < 2 or job.index is not None:
        return None
    return replace(job, request=replace(request, batch=batch // 2))
