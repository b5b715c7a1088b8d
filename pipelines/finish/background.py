"""Remove a background: the picture's subject on transparent ground. Nothing is drawn; how it was found is said."""

from dataclasses import replace

from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.filenames import short_name
from pipelines.batches import Prepared, check_index
from pipelines.finish.own import filled, is_generated, kept_picture, seed_of
from pipelines.finish.request import RemoveBackgroundRequest
from pipelines.job import Job
from pipelines.pictures import SOURCE_TYPE
from pipelines.studio import Studio
from pipelines.task import Result

__all__ = ["filled", "prepare"]

_LOOK = (
    "The subject was found {way}, which is right about the outline of most drawn things on even ground and often wrong "
    "on busy ground: look at the edge before you use it."
)
_WAYS = {"grabcut": "by its colours alone (GrabCut)", "segmenter": "by a segmenter"}


def prepare(studio: Studio, job: Job) -> Prepared:
    """One transparent picture, its mask beside it. Facts: the way in which it was found, whether that is sure, and
    the share of the picture that it takes.

    Raises: ConfigError for a picture of another number, ImageError where no subject is found, MissingDependencyError
    where what finds it is not installed.
    """
    request: RemoveBackgroundRequest = job.request
    check_index(job.index, 1)
    (given,) = job.given("picture")
    with studio.computing():
        found = studio.references.cut_out(SubjectPhoto(given.image, "subject"))
    kept = replace(job, inputs={"picture": (kept_picture(given),)}, index=0)

    def last(_results: object) -> list[Result]:
        whole = given.image.convert("RGBA")
        whole.putalpha(found.mask)
        generated = SOURCE_TYPE if is_generated(job) else None
        picture = studio.picture(found.image if request.trim else _clean(whole), seed_of(job), kept)
        picture = replace(picture, source_type=generated)
        share = sum(found.mask.histogram()[128:]) / (found.mask.width * found.mask.height)
        facts = {"way": found.way, "sure": found.sure, "share": round(share, 4)}
        beside = {"mask": replace(picture, image=found.mask, part="mask", source_type=None)}
        name = f"{short_name(given.word or 'picture')}-cut-out"
        return [Result(picture, name, beside=beside, detail=found, facts=facts)]

    notices = () if found.sure else (_LOOK.format(way=_WAYS.get(found.way, found.way)),)
    return Prepared(None, (), lambda: iter(()), 0, notices, last=last)


def _clean(layers: Image.Image) -> Image.Image:
    """RGBA without the colours of what is wholly transparent: what was behind the subject is nobody's."""
    blank = Image.new("RGBA", layers.size, (255, 255, 255, 0))
    return Image.composite(layers, blank, layers.getchannel("A").point(lambda level: 255 if level else 0))
