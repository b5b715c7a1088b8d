"""Foreign text on the terminal and on the page: it is shown, and does nothing."""

import ast
import json
import sys
from pathlib import Path

import pytest

import app
from app.cli.main import run_blipdiff
from app.cli.terminal import say, say_json, warn
from app.plain import plain
from app.ui import markup

HOSTILE = "dog\x1b[2J\x1b]0;owned\x07\r\n\u202egpj.exe\u2066\u200b\x9b31m\x00"
CODE = Path(app.__file__).parent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a dog, größer — 犬 🐕 👩\u200d🚀", "a dog, größer — 犬 🐕 👩\u200d🚀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\x9b31m \x07 \x00 \x7f", "\\x9b31m \\x07 \\x00 \\x7f"),
        ("\u202egpj \u2066 \u200b \ufeff \u2028", "\\u202egpj \\u2066 \\u200b \\ufeff \\u2028"),
        ("half \ud800", "half \\ud800"),
        ("tags \U000e0041", "tags \\U000e0041"),
    ],
)
def test_letters_that_are_not_seen_as_themselves_are_written_out(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain(plain(text)) == shown
    assert plain("two\nlines\x1b", lines=True) == "two\nlines\\x1b"


def test_a_commands_words_are_one_line_without_controls(capfd: pytest.CaptureFixture[str]) -> None:
    say(f"left out {HOSTILE}")
    warn(OSError(HOSTILE))
    say(Path(f"/tmp/{HOSTILE}"))
    ended = capfd.readouterr()
    for text, count in ((ended.out, 2), (ended.err, 1)):
        assert text.count("\n") == count
        assert all(letter.isprintable() for letter in text.replace("\n", ""))
    say_json({"path": HOSTILE})
    assert json.loads(capfd.readouterr().out) == {"path": HOSTILE}


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", HOSTILE.replace("\0", "")],
        ["describe", "no\x1b]0;x\x07.png"],
        ["subjects", "list", "--x\x1b[2J"],
        ["subjects", "list", "a", "b\x1b[2J"],
        ["encode", "a.png", "--photo\x1b[2J=3"],
        ["no\x1b[2J"],
    ],
)
def test_a_files_name_cannot_write_to_the_terminal(
    arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["blipdiff", *arguments])
    assert run_blipdiff() == 2
    ended = capfd.readouterr()
    assert "\\x1b" in ended.err
    assert not [letter for letter in ended.out + ended.err if letter in "\x1b\x07\r\x9b\u202e\u2066"]


def test_a_cards_category_in_the_library_cannot_either(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "evil\x1b[2J.safetensors").write_bytes(b"no card")
    monkeypatch.setattr("sys.argv", ["blipdiff", "subjects", "list", "--library", str(tmp_path)])
    assert run_blipdiff() == 0
    out = capfd.readouterr().out
    assert "evil\\x1b[2J" in out
    assert "\x1b" not in out


def test_a_bugs_traceback_cannot_either(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise LookupError(HOSTILE)

    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    monkeypatch.setattr("sys.argv", ["blipdiff"])
    monkeypatch.setattr("app.cli.main.app", broken)
    with pytest.raises(LookupError) as raised:
        run_blipdiff()
    sys.excepthook(raised.type, raised.value, raised.tb)
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert "LookupError: dog\\x1b[2J" in err
    assert not [letter for letter in err if letter in "\x1b\x07\r\x9b\u202e"]


def test_markup_shows_foreign_text_and_runs_nothing_of_it() -> None:
    shown = markup.message(f"<img src=x onerror=alert(1)>'\"{HOSTILE}")
    assert "<img" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;&#x27;&quot;dog\\x1b" in shown
    assert shown.isprintable()


def test_nothing_is_printed_or_put_into_markup_but_through_the_one_function() -> None:
    found = []
    for path in sorted(CODE.rglob("*.py")):
        if path.name in ("terminal.py", "progress.py", "markup.py"):  # progress.py draws the bars
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            imported = node.module if isinstance(node, ast.ImportFrom) else ""
            if called in (
                "print",
                "typer.echo",
                "typer.secho",
                "tqdm.write",
                "bar.write",
                "sys.stdout.write",
                "sys.stderr.write",
            ) or (imported == "html"):
                found.append(f"{path.relative_to(CODE)}:{node.lineno}")
    assert found == []
