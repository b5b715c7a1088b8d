"""torch and diffusers, imported by one thread: they import each other in circles, which two threads at once break."""

import functools
import gc
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_ACCESS = Lock()
_FIRST = "torch"  # where this is imported, the rest is or will soon be


@contextmanager
def quick_imports() -> Iterator[None]:
    """A block that imports the libraries in a fifth less time, for the first time alone.

    Python looks for garbage again and again among a million new objects that all stay: here it does not, and later on
    passes those by. diffusers and transformers read what every installed package holds: here it is read once.
    """
    if _FIRST in sys.modules or not gc.isenabled():
        yield
        return
    listed = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = functools.cache(listed)
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
        importlib.metadata.packages_distributions = listed


def load_libraries() -> None:
    """Returns when all that drawing needs is imported, by this thread or by another one.

    Call it in the applications before whatever imports them inside a function: the page and the interface are
    there before the libraries, and the first clicks come while a worker still opens the model.
    """
    with _ACCESS, quick_imports():
        import pipelines.ask.run
        import pipelines.controls.nets
        import pipelines.describe
        import pipelines.studio  # noqa: F401
