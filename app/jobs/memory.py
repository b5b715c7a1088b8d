"""Too little memory: what is said of it, and what is asked for less of."""

from dataclasses import fields, is_dataclass, replace

from pipelines.job import Job

TOO_LITTLE = "There is too little memory for this; ask for a smaller batch or a smaller size."


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
