"""The room: what all tabs share - the workshop, the settings, who looks at the page, and the tabs by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import gradio as gr

from app.jobs.facts import Facts
from app.jobs.tickets import Asked, Sender, Ticket
from app.jobs.workshop import Workshop
from app.settings import Settings
from app.ui import markup
from app.ui.files import served
from app.ui.given import with_files
from app.ui.parts import Changes, Sent
from app.ui.texts import retold, said
from app.ui.views import Shows
from app.ui.visits import Visits
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.job import Job
from pipelines.subject_library import SubjectLibrary

if TYPE_CHECKING:  # which loads torch: the page is there before the model
    from pipelines.studio import Studio

Kind: TypeAlias = Literal["photo", "subject", "structure", "picture"]  # as what something is sent to a tab
Recalled: TypeAlias = Literal["all", "seed", "prompt"]  # what a tab takes over of a job
RECALLED: tuple[Recalled, ...] = ("all", "seed", "prompt")

_TITLES = {"generate": "Create", "stylize": "Restyle", "attend": "Attention"}  # those that are not the task's name
_BROWSER = "blipdiff-browser"  # where a browser keeps the name that it has given itself
_LONGEST_NAME = 80  # letters of a job's name


@dataclass(frozen=True, slots=True)
class TabPart:
    """What the room knows of a tab.

    place: the tab's id in the page's Tabs; outputs: what `recall` changes; recall: what fills the form, the subject and
    all else as a job has them, which raises BlipdiffError for what cannot be brought back; takes: where what is sent
    here goes, by its kind; runs: how its jobs are shown, where it draws; more: what its jobs change beside `runs.on`
    """

    name: str  # its task's, or its own
    title: str
    place: str
    outputs: list[Any] = field(default_factory=list)
    recall: Callable[[Job, Recalled], Changes] | None = None
    takes: Mapping[Kind, Any] = field(default_factory=dict)
    runs: Shows | None = None
    more: list[Any] = field(default_factory=list)


class Room:
    """Made before the tabs; `app.ui.page` connects what needs all of them when they are there."""

    def __init__(self, page: gr.Blocks, workshop: Workshop, settings: Settings) -> None:
        self.page, self.workshop, self.settings = page, workshop, settings
        self.visits = Visits()
        self.lists: list[Any] = []  # of the library's subjects, on any tab
        self.tabs: dict[str, TabPart] = {}
        self.switch: Any = None  # the page's Tabs
        self.heading: Any = None  # title, model and device
        self.line: Any = None  # the browser's jobs
        self.news: Any = None  # how often the history has changed
        self.browser = gr.BrowserState("", storage_key=_BROWSER, secret=_BROWSER)
        self.model_choice: Any = gr.State("")  # which model draws; empty for the first one
        self.added: Any = gr.State([])  # LoRAs that the browser has chosen, as jobs have them
        self.own_files: Any = None  # the place where they are chosen
        self.control_choices: list[Any] = []  # lists of nets, on any tab
        self.of_model: list[tuple[Any, Callable[[Facts], Any]]] = []  # what an open model changes on the page
        self.seeds: dict[str, Any] = {}  # the seed's control, by the name of the button that draws with it
        self.clicks: list[Any] = []  # events that ask for jobs, after which the page is told of them
        self._later: list[Callable[[], None]] = []

    @property
    def library(self) -> SubjectLibrary:
        """The subjects that are kept."""
        return SubjectLibrary(self.settings.library)

    @property
    def examples(self) -> list[Path]:
        """The bundled photos."""
        return sorted((Path(str(files("blipdiff"))) / "assets" / "subjects").glob("*.png"))

    def studio(self, model: str = "") -> "Studio":
        """The open model, waited for where it is being opened. Raises: what opening it raises."""
        return self.workshop.models.get(model)

    def facts(self, model: str = "") -> Facts | None:
        """What there is to tell of a model; None while it is not open."""
        return self.workshop.facts(model)

    def known(self, model: str = "") -> Facts:
        """The same, of a model that is opened here where it is open nowhere. Raises: what opening it raises."""
        return self.facts(model) or Facts.of(self.studio(model))

    def check_cards(self, job: Job) -> None:
        """Passes for a job whose cards the open model reads; where none is open, drawing tells.

        Raises: SubjectError for another model's.
        """
        models, told = self.workshop.models, (job.model or {}).get("name", "")
        facts = self.facts(told if told in models.names else "")
        cards = [one.content for given in job.inputs.values() for one in given]
        for card in cards:
            if facts is not None and isinstance(card, SubjectEmbedding):
                card.check_model(facts.fingerprint, facts.rows_width)

    def headed(self, facts: Facts | None, trouble: str = "") -> str:
        """The page's title with what is known of the model."""
        if facts is None:
            name = self.workshop.models.names[0]
            why = said("{name} cannot be opened: {why}", name=name, why=retold(trouble)) if trouble else ""
            return markup.heading({said("Model"): name}, why)
        told = {said("Model"): facts.name, said("Device"): facts.device, said("Precision"): facts.dtype}
        return markup.heading(told, about(facts) or "")

    def when_known(self, component: Any, shown: Callable[[Facts], Any]) -> None:
        """A component that changes once the model is open: `shown` gives the update."""
        self.of_model.append((component, shown))

    def submit(self, job: Job, sender: Sender, model: str = "") -> Ticket:
        """Puts a job of the page into the line, with the files that it names.

        Raises: BlipdiffError for a job that cannot be drawn.
        """
        try:
            return self.workshop.submit(
                with_files(job),
                sender,
                Asked(model=model or "", name=name_of(job), previews=int(self.settings.previews)),
            )
        except BlipdiffError:
            job.opened()  # which names what is wrong by its file
            raise

    def register(self, part: TabPart) -> None:
        """A tab is there."""
        self.tabs[part.name] = part

    def asked(self, event: Any) -> None:
        """An event that asks for jobs: a page that is told nothing any more is told again from then on."""
        self.clicks.append(event)

    def later(self, connect: Callable[[], None]) -> None:
        """What is connected when all tabs are there."""
        self._later.append(connect)

    def finish(self) -> None:
        """All tabs are there: connects what was asked for with `later`."""
        for connect in self._later:
            connect()
        self._later.clear()

    @property
    def changed(self) -> list[Any]:
        """All that `recall_changes` and `send_changes` may change: the outputs of events that use them."""
        found = [self.switch, *([] if self.own_files is None else self.own_files.outputs)]
        for part in self.tabs.values():
            found += [*part.outputs, *([] if part.runs is None else [part.runs.on.status])]
            for one in part.takes.values():
                found += one.outputs if isinstance(one, Sent) else [one]
        return list(dict.fromkeys(found))

    def recall_changes(self, job: Job, what: Recalled = "all") -> Changes:
        """The tab of a job's task with everything that the job asks for, or with a part of it, opened.

        Raises: ConfigError for a task that has no tab, BlipdiffError for what cannot be brought back.
        """
        part = self.tabs.get(job.task)
        if part is None or part.recall is None:
            raise ConfigError(said("No tab of the page asks for {task}; the command line does.", task=job.task))
        files = {} if self.own_files is None or what != "all" else self.own_files.recalled(job)
        return {**part.recall(job, what), **files, self.switch: gr.Tabs(selected=part.place)}

    def send_changes(self, kind: Kind, path: str | Path, to: str) -> Changes:
        """A tab with a picture, or a subject's card, in its field of this kind, opened.

        Raises: ConfigError for a tab that takes no such thing.
        """
        part = self.tabs.get(to)
        if part is None or kind not in part.takes:
            place = said("This tab") if part is None else retold(part.title)
            raise ConfigError(said("{place} takes no {kind}.", place=place, kind=retold(kind)))
        field_ = part.takes[kind]
        file = served(path)
        if isinstance(field_, Sent):
            return {**field_.changes(file), self.switch: gr.Tabs(selected=part.place)}
        value = [file] if getattr(field_, "file_count", "single") == "multiple" else file
        return {field_: value, self.switch: gr.Tabs(selected=part.place)}


def title_of(task: str) -> str:
    """What a task's tab is called."""
    return _TITLES.get(task) or task.replace("-", " ").capitalize()


def about(facts: Facts) -> str | None:
    """What a model is for, what goes on it, and the words that call that up."""
    names = ", ".join(facts.additions)
    found = [facts.purpose, said("With {names}.", names=names) if names else None, *facts.told]
    return " ".join(retold(text) for text in found if text) or None


def name_of(job: Job) -> str:
    """What a job is called in the line: what it says, in short."""
    request = job.request
    said = [getattr(request, name, None) for name in ("category", "prompt", "source", "target")]
    text = ", ".join(dict.fromkeys(str(one).strip() for one in said if one and str(one).strip()))
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
