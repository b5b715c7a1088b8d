"""OpenVINO itself: whether it is there, loaded when it is first needed, and kept from calling out."""

import functools
import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import Any

from blipdiff.errors import MissingDependencyError

NAME = "openvino"
_STATISTICS = "openvino_telemetry"  # tells its maker of every import and conversion
_LOADING = Lock()


def installed() -> str | None:
    """The version that is installed; None where there is none."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return None


def library() -> Any:
    """The package, without its usage statistics.

    Raises: MissingDependencyError where it is not installed, or cannot be loaded.
    """
    with _LOADING:
        if sys.modules.get(NAME) is not None:
            return sys.modules[NAME]
        absent = _STATISTICS not in sys.modules
        if absent:
            sys.modules[_STATISTICS] = None  # type: ignore[assignment]  # it does without, by a stub of its own
        try:
            return importlib.import_module(NAME)
        except Exception as reason:  # no package, or one that was built for another system
            raise MissingDependencyError(
                "OpenVINO is not installed, or cannot be loaded here: pip install 'blipdiff[openvino]'."
            ) from reason
        finally:
            if absent:
                sys.modules.pop(_STATISTICS, None)


@functools.cache
def core() -> Any:
    """The one core of the process, which knows the devices. Raises: as `library`."""
    return library().Core()
