"""Models by name: opened when a job needs them, kept under a limit of memory, the least recently used goes.

With LoRAs and embeddings on it a model is another one, opened as it would be alone: of each model one such is kept.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock, RLock
from typing import TYPE_CHECKING, TypeAlias

from app.libraries import load_libraries
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.added import Added, lacking

if TYPE_CHECKING:  # which loads torch: jobs wait in line before a model is there
    from pipelines.studio import Studio

Key: TypeAlias = tuple[str, tuple[Added, ...]]


class Models:
    """The models that one device draws with.

    names: those that may be asked for, the first one where nobody says which; opened: opens one, with what shall be on
    it where there is something; most: bytes of weights that are kept
    at the same time, None for no limit; a single model is kept however large it is; shortage: says in a sentence that
    one will not fit into the memory that is free
    """

    def __init__(
        self,
        names: Sequence[str],
        opened: "Callable[..., Studio]",
        most: int | None = None,
        shortage: Callable[[str], str | None] = lambda _name: None,
    ) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._opened, self._most, self._shortage = opened, most, shortage
        self._kept: OrderedDict[Key, Studio] = OrderedDict()
        self._access, self._naming = RLock(), Lock()  # one may be opened for long; names are given meanwhile
        self.troubles: dict[str, str] = {}  # why a model could not be opened when it was last tried

    @property
    def names(self) -> tuple[str, ...]:
        """Those that may be asked for now."""
        return self._names

    def offer(self, name: str) -> None:
        """One more may be asked for from now on."""
        with self._naming:
            self._names = tuple(dict.fromkeys((*self._names, name)))

    def withdraw(self, name: str) -> None:
        """One may no longer be asked for, and is let go where it is open; jobs that wait for it are told so.

        Raises: ConfigError for the one that draws where nobody says which.
        """
        with self._naming:
            if name == self._names[0]:
                raise ConfigError(f"{name} draws where nobody says which; it stays.")
            self._names = tuple(one for one in self._names if one != name)
        with self._access:
            if self._let_go(lambda key: key[0] == name):
                free_memory()

    def named(self, name: str) -> str:
        """The name itself, or the first one's for an empty one.

        Raises: ConfigError for a model that is not offered.
        """
        if not name:
            return self.names[0]
        if name not in self.names:
            raise ConfigError(f"There is no model {name!r:.80} here; there are: {', '.join(self.names)}.")
        return name

    def get(self, name: str, added: tuple[Added, ...] = ()) -> "Studio":
        """The model, opened if it is not; `added` is on it. Raises: as `named`, and what opening raises."""
        name = self.named(name)
        with self._access:
            plain = self._kept.get((name, ()))
            if added and plain is not None and not lacking(added, plain.model.identity.parts):
                added = ()  # it is there whatever is asked for
            key = name, added
            if key not in self._kept:
                if added and self._let_go(lambda one: one[0] == name and bool(one[1])):
                    free_memory()
                studio = self._open(key)
                self._make_room(weights(studio))
                self._kept[key] = studio
            self._kept.move_to_end(key)
            return self._kept[key]

    def let_go(self, told: str) -> bool:
        """Lets a model go, as `called` tells it; whether it was open."""
        with self._access:
            gone = self._let_go(lambda key: called(*key) == told)
        if gone:
            free_memory()
        return gone

    def warning(self, name: str) -> str | None:
        """One sentence where the model is not open yet, and will hardly fit."""
        return None if any(key[0] == name for key in list(self._kept)) else self._shortage(name)

    def ready(self, name: str) -> "Studio | None":
        """The model if it is open; nobody is kept waiting. Raises: as `named`."""
        return self._kept.get((self.named(name), ()))

    def keep_only(self, name: str, added: tuple[Added, ...] = ()) -> bool:
        """Lets all others go; whether there were any."""
        with self._access:
            gone = self._let_go(lambda key: key != (name, added))
        free_memory()
        return gone

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of weights of those that are open, the least recently used first."""
        with self._access:
            return {called(*key): weights(studio) for key, studio in self._kept.items()}

    def _let_go(self, unwanted: Callable[[Key], bool]) -> bool:
        gone = [key for key in self._kept if unwanted(key)]
        for key in gone:
            del self._kept[key]
        return bool(gone)

    def _open(self, key: Key) -> "Studio":
        name, added = key
        try:
            studio = self._opened(name, added) if added else self._opened(name)
        except BlipdiffError as error:
            if not added:
                self.troubles[name] = str(error)
            raise
        self.troubles.pop(name, None)
        return studio

    def _make_room(self, size: int) -> None:
        if self._most is None:
            return
        gone = False
        while self._kept and size + sum(self.loaded.values()) > self._most:
            self._kept.popitem(last=False)
            gone = True
        if gone:
            free_memory()


def called(name: str, added: tuple[Added, ...] = ()) -> str:
    """A model with what is on it, as people are told of it: "mini, LoRA chalk at 0.8"."""
    return ", ".join([name, *(one.part for one in added)])


def weights(studio: "Studio") -> int:
    """Bytes of a model's weights."""
    model = studio.model
    nets = (model.subject_encoder, model.text_encoder, model.unet, model.vae)
    return sum(weight.numel() * weight.element_size() for net in nets for weight in net.parameters())


def free_memory() -> None:
    """Gives back what nothing holds any more."""
    load_libraries()
    from blipdiff import devices

    devices.free_memory()
