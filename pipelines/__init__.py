"""Tasks: a request becomes a job, a job becomes steps, steps become pictures. Imported when first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.blend.request import BlendRequest
    from pipelines.controls.settings import ControlSettings
    from pipelines.diffusers_pipeline.pipeline import BlipDiffusionControlNetPipeline, BlipDiffusionPipeline
    from pipelines.edit.request import EditRequest
    from pipelines.generate.request import AttendRequest, GenerateRequest
    from pipelines.job import Input, Job, run
    from pipelines.metadata import read_metadata, repeat
    from pipelines.parameters import Sampling, SubjectSampling, parameter
    from pipelines.pictures import Picture, save_new_picture, save_picture
    from pipelines.plan import SamplingPlan, execute
    from pipelines.scene.request import SceneRequest
    from pipelines.studio import Studio
    from pipelines.stylize.request import StylizeRequest
    from pipelines.subject_library import SubjectLibrary
    from pipelines.task import Event, InputKind, Notice, Progress, Result, Sheet, Task, register, tasks

_HOMES = {
    "blend.request": ("BlendRequest",),
    "controls.settings": ("ControlSettings",),
    "diffusers_pipeline.pipeline": ("BlipDiffusionControlNetPipeline", "BlipDiffusionPipeline"),
    "edit.request": ("EditRequest",),
    "generate.request": ("AttendRequest", "GenerateRequest"),
    "job": ("Input", "Job", "run"),
    "metadata": ("read_metadata", "repeat"),
    "parameters": ("Sampling", "SubjectSampling", "parameter"),
    "pictures": ("Picture", "save_new_picture", "save_picture"),
    "plan": ("SamplingPlan", "execute"),
    "scene.request": ("SceneRequest",),
    "studio": ("Studio",),
    "stylize.request": ("StylizeRequest",),
    "subject_library": ("SubjectLibrary",),
    "task": ("Event", "InputKind", "Notice", "Progress", "Result", "Sheet", "Task", "register", "tasks"),
}
_HOME_OF = {name: f"pipelines.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "AttendRequest",
    "BlendRequest",
    "BlipDiffusionControlNetPipeline",
    "BlipDiffusionPipeline",
    "ControlSettings",
    "EditRequest",
    "Event",
    "GenerateRequest",
    "Input",
    "InputKind",
    "Job",
    "Notice",
    "Picture",
    "Progress",
    "Result",
    "Sampling",
    "SamplingPlan",
    "SceneRequest",
    "Sheet",
    "Studio",
    "StylizeRequest",
    "SubjectLibrary",
    "SubjectSampling",
    "Task",
    "execute",
    "parameter",
    "read_metadata",
    "register",
    "repeat",
    "run",
    "save_new_picture",
    "save_picture",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'pipelines' has no attribute '{name}'")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
