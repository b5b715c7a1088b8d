"""reference/python.md: every public name of `pipelines` and `blipdiff`, from the code's own docstrings."""

from types import ModuleType

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import blipdiff
import pipelines

HEAD = """# Python, every name

Made from the docstrings when this site is built. [In Python](../api.md) tells how they are used together, and
[HTTP, every route](http.md#tasks) lists what each request takes: the parameters have the same names in Python.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page."""
    text = "\n".join([HEAD, *(_section(top) for top in (pipelines, blipdiff))])
    files.append(File.generated(config, "reference/python.md", content=text))
    return files


def _section(top: ModuleType) -> str:
    names = "\n\n".join(f"::: {top._HOMES[name]}.{name}" for name in top.__all__ if name in top._HOMES)
    return f"## {top.__name__}\n\n{(top.__doc__ or '').strip().splitlines()[0]}\n\n{names}\n"
