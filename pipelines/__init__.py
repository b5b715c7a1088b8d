"""Tasks: a request becomes a job, a job becomes steps, steps become pictures. Imported when first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.ask.request import AskRequest
    from pipelines.ask.run import Asked, answers, heat_map
    from pipelines.blend.request import BlendRequest
    from pipelines.controls.settings import ControlSettings
    from pipelines.diffusers_pipeline.pipeline import BlipDiffusionControlNetPipeline, BlipDiffusionPipeline
    from pipelines.edit.request import EditRequest
    from pipelines.finish.request import RedrawRequest, RemoveBackgroundRequest, UpscaleRequest
    from pipelines.generate.request import AttendRequest, GenerateRequest
    from pipelines.grid.request import GridRequest, grid_of
    from pipelines.inputs import Input
    from pipelines.job import Job, run
    from pipelines.metadata import read_metadata, repeat
    from pipelines.parameters import parameter
    from pipelines.personalize.request import PersonalizeRequest
    from pipelines.pictures import Picture, save_new_picture, save_picture
    from pipelines.plan import SamplingPlan, execute
    from pipelines.presets.preset import Preset
    from pipelines.presets.store import Presets
    from pipelines.requests import Sampling, SubjectSampling
    from pipelines.scene.request import SceneRequest
    from pipelines.studio import Studio
    from pipelines.stylize.request import StylizeRequest
    from pipelines.subject_library import SubjectLibrary
    from pipelines.task import Event, InputKind, Notice, Progress, Result, Sheet, Task, register, tasks
    from pipelines.variations import varied

_HOMES = {
    "AskRequest": "pipelines.ask.request",
    "Asked": "pipelines.ask.run",
    "AttendRequest": "pipelines.generate.request",
    "BlendRequest": "pipelines.blend.request",
    "BlipDiffusionControlNetPipeline": "pipelines.diffusers_pipeline.pipeline",
    "BlipDiffusionPipeline": "pipelines.diffusers_pipeline.pipeline",
    "ControlSettings": "pipelines.controls.settings",
    "EditRequest": "pipelines.edit.request",
    "Event": "pipelines.task",
    "GenerateRequest": "pipelines.generate.request",
    "GridRequest": "pipelines.grid.request",
    "Input": "pipelines.inputs",
    "InputKind": "pipelines.task",
    "Job": "pipelines.job",
    "Notice": "pipelines.task",
    "PersonalizeRequest": "pipelines.personalize.request",
    "Picture": "pipelines.pictures",
    "Preset": "pipelines.presets.preset",
    "Presets": "pipelines.presets.store",
    "Progress": "pipelines.task",
    "RedrawRequest": "pipelines.finish.request",
    "RemoveBackgroundRequest": "pipelines.finish.request",
    "Result": "pipelines.task",
    "Sampling": "pipelines.requests",
    "SamplingPlan": "pipelines.plan",
    "SceneRequest": "pipelines.scene.request",
    "Sheet": "pipelines.task",
    "Studio": "pipelines.studio",
    "StylizeRequest": "pipelines.stylize.request",
    "SubjectLibrary": "pipelines.subject_library",
    "SubjectSampling": "pipelines.requests",
    "Task": "pipelines.task",
    "UpscaleRequest": "pipelines.finish.request",
    "answers": "pipelines.ask.run",
    "execute": "pipelines.plan",
    "grid_of": "pipelines.grid.request",
    "heat_map": "pipelines.ask.run",
    "parameter": "pipelines.parameters",
    "read_metadata": "pipelines.metadata",
    "register": "pipelines.task",
    "repeat": "pipelines.metadata",
    "run": "pipelines.job",
    "save_new_picture": "pipelines.pictures",
    "save_picture": "pipelines.pictures",
    "tasks": "pipelines.task",
    "varied": "pipelines.variations",
}

__all__ = [
    "AskRequest",
    "Asked",
    "AttendRequest",
    "BlendRequest",
    "BlipDiffusionControlNetPipeline",
    "BlipDiffusionPipeline",
    "ControlSettings",
    "EditRequest",
    "Event",
    "GenerateRequest",
    "GridRequest",
    "Input",
    "InputKind",
    "Job",
    "Notice",
    "PersonalizeRequest",
    "Picture",
    "Preset",
    "Presets",
    "Progress",
    "RedrawRequest",
    "RemoveBackgroundRequest",
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
    "UpscaleRequest",
    "answers",
    "execute",
    "grid_of",
    "heat_map",
    "parameter",
    "read_metadata",
    "register",
    "repeat",
    "run",
    "save_new_picture",
    "save_picture",
    "tasks",
    "varied",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipelines' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
