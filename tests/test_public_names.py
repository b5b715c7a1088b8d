"""What library users import from the top of the packages is there, once, and told to type checkers alike."""

import ast
import pydoc
from importlib import import_module
from pathlib import Path

import pytest

import blipdiff
import pipelines

ROOT = Path(__file__).parents[1]
TOPS = (blipdiff, pipelines)


@pytest.mark.parametrize("top", TOPS, ids=lambda top: top.__name__)
def test_every_public_name_is_importable(top) -> None:
    for name in top.__all__:
        assert getattr(top, name) is not None
        assert getattr(top, name) is getattr(top, name)
    everything: dict[str, object] = {}
    exec(f"from {top.__name__} import *", everything)
    assert set(top.__all__) <= set(everything)


@pytest.mark.parametrize("top", TOPS, ids=lambda top: top.__name__)
def test_names_are_sorted_and_come_from_where_they_are_said_to_live(top) -> None:
    homes = top._HOMES
    assert list(homes) == sorted(homes)
    for name, home in homes.items():
        assert getattr(top, name) is getattr(import_module(home), name)


@pytest.mark.parametrize("top", TOPS, ids=lambda top: top.__name__)
def test_type_checkers_are_told_the_same_names(top) -> None:
    tree = ast.parse((ROOT / top.__name__ / "__init__.py").read_text())
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert told == top._HOMES


@pytest.mark.parametrize("top", TOPS, ids=lambda top: top.__name__)
def test_names_are_shown_where_people_look_for_them(top) -> None:
    tree = ast.parse((ROOT / top.__name__ / "__init__.py").read_text())
    (listed,) = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert ast.literal_eval(listed) == top.__all__, "type checkers and editors read a plain list"
    assert set(top.__all__) == {*top._HOMES, *({"__version__"} & set(vars(top)))}
    assert set(top.__all__) <= set(dir(top))
    page = pydoc.plain(pydoc.render_doc(top))
    assert all(name in page for name in top._HOMES)


@pytest.mark.parametrize("top", TOPS, ids=lambda top: top.__name__)
def test_a_name_that_is_none_is_an_attribute_error(top) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = top.nonsense
    assert not hasattr(top, "__wrapped__")


@pytest.mark.parametrize("path", sorted((ROOT / "blipdiff").rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_every_package_says_what_lives_in_it_and_has_what_it_names(path: Path) -> None:
    module = import_module(".".join(path.parent.relative_to(ROOT).parts))
    assert module.__doc__
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name)
