"""All presets by name: those that come with the package, and a folder of one's own, which win."""

from difflib import get_close_matches
from pathlib import Path

from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.filenames import short_name
from pipelines.presets.preset import SUFFIX, Preset


class Presets:
    """The bundled presets and those of a folder.

    folder: of one's own, which need not be there
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def all(self, task: str | None = None) -> dict[str, Preset]:
        """By name, the bundled ones first; files that are no presets are passed over.

        task: those of this task alone
        """
        found = {one.name: one for one in bundled()}
        for path in self._paths():
            try:
                one = Preset.read(path)
            except BlipdiffError:
                continue
            found[one.name] = one
        return {name: one for name, one in found.items() if task in (None, one.task)}

    def get(self, name: str, task: str | None = None) -> Preset:
        """A preset by its name, whatever its case, or by its file's path.

        Raises: ConfigError where there is none, and for one of another task.
        """
        known = {key.lower(): one for key, one in self.all().items()}
        one = known.get(name.strip().lower())
        if one is None and (name.lower().endswith(SUFFIX) or _is_file(name)):
            one = Preset.read(Path(name))
        if one is None:
            near = get_close_matches(name.lower(), known, 1)
            hint = f" Did you mean {known[near[0]].name!r}?" if near else ""
            names = ", ".join(repr(each.name) for each in known.values() if task in (None, each.task))
            raise ConfigError(f"There is no preset {name!r}.{hint} There are: {names or 'none for this task'}.")
        if task not in (None, one.task):
            raise ConfigError(f"The preset {one.name!r} is for {one.task}, not for {task}.")
        return one

    def file(self, name: str) -> Path:
        """Where a preset lies, to be given away. Raises: ConfigError where there is none of this name."""
        for path in reversed([*_bundled_files(), *self._paths()]):
            try:
                if Preset.read(path).name == name:
                    return path
            except BlipdiffError:
                continue
        raise ConfigError(f"There is no preset {name!r}.")

    def save(self, preset: Preset) -> Path:
        """Keeps a preset; one of the same name takes the other's place.

        Raises: ConfigError without a folder, OutputError when it cannot be written.
        """
        if self.folder is None:
            raise ConfigError("There is no folder for presets of one's own.")
        for path in self._paths():
            try:
                if Preset.read(path).name == preset.name:
                    return preset.save(path)
            except BlipdiffError:
                continue
        stem = short_name(preset.name)
        taken = {path.name for path in self._paths()}
        names = (f"{stem}{f'-{number}' if number > 1 else ''}{SUFFIX}" for number in range(1, len(taken) + 2))
        return preset.save(self.folder / next(name for name in names if name not in taken))

    def _paths(self) -> list[Path]:
        return [] if self.folder is None or not self.folder.is_dir() else sorted(self.folder.glob(f"*{SUFFIX}"))


def _is_file(name: str) -> bool:
    """Whether a file goes by this name; none does by one that no system takes."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def bundled() -> list[Preset]:
    """The presets that come with the package, in the order of their files."""
    return [Preset.read(path) for path in _bundled_files()]


def _bundled_files() -> list[Path]:
    return sorted((Path(__file__).parent / "bundled").glob(f"*{SUFFIX}"))
