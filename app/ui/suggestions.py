"""Categories for a photo that nobody has named yet, from the bundled describer."""

from threading import Lock
from typing import TYPE_CHECKING

from app.libraries import load_libraries
from blipdiff.errors import BlipdiffError
from blipdiff.images import open_picture

if TYPE_CHECKING:  # which loads torch
    from blipdiff.models.describer import Describer

_COUNT = 4


class Suggestions:
    """The likeliest categories of a photo; the describer is loaded with the first one."""

    def __init__(self) -> None:
        self._describer: Describer | None = None
        self._loading = Lock()

    def of(self, path: str) -> list[tuple[str, float]]:
        """At most four names and their chances, the likeliest first; none where the describer is unsure or missing."""
        load_libraries()
        from blipdiff.checkpoints.describer import load_describer
        from pipelines.describe import DescribeRequest, describe

        try:
            with self._loading:
                self._describer = self._describer or load_describer()
            found = describe(self._describer, open_picture(path), DescribeRequest(count=_COUNT))
        except BlipdiffError:  # a suggestion is no duty: what is wrong with the photo is said elsewhere
            return []
        return list(found.categories) if found.is_sure else []
