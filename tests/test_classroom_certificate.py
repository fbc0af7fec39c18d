"""A certificate: awarded for what was solved, checked without a server, broken by any change."""

import json
import re
import shlex

import classes
import nbformat
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from classroom import __main__, certificate, sandbox

GUIDE = (classes.ROOT / "solutions" / "README.md").read_text("utf-8")
COMMANDS = [shlex.split(c) for c in re.findall(r"python -m classroom ([a-z][^`\n]*)", GUIDE)]
RECIPE = "a cottage in the snow\nSteps: 20, Seed: 3"


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Where a reader stands, with one quiz that has a wrong letter, and a picture."""
    folder = tmp_path_factory.mktemp("reader")
    letters = [classes.WRONG[0], *classes.KEY[1:]]
    path = folder / "quizzes" / classes.CHAPTER / "quiz.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(classes.quiz(letters), path)
    words = PngInfo()
    words.add_text("parameters", RECIPE)
    (folder / "results").mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "results" / "my_picture.png", pnginfo=words)
    root = folder / "course"
    root.mkdir()
    for name in ("solutions", "quizzes"):
        (root / name).symlink_to(classes.ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(__main__, "ROOT", root)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def awarded(reader):
    """The paths of the certificate that the guide's command writes."""
    (command,) = (c for c in COMMANDS if c[0] == "certificate")
    command[command.index("Your name")] = "Ada <b>Byron</b>"
    assert __main__.main([*command, *["--trust"] * bool(sandbox.why_not())]) == 0
    return [reader / "certificate" / f"certificate.{end}" for end in ("json", "html")]


def test_the_guides_command_verifies_it(awarded, capsys):
    (command,) = (c for c in COMMANDS if c[0] == "verify")
    assert __main__.main(command) == 0
    assert certificate.PROVES in capsys.readouterr().out


def test_the_guide_shows_every_command_as_it_is(monkeypatch):
    """Each is understood, and none is left out; that they work is tested one by one."""
    given = []
    assert {command[0] for command in COMMANDS} == __main__.COMMANDS.keys()
    for name in __main__.COMMANDS:
        monkeypatch.setitem(__main__.COMMANDS, name, given.append)
    for command in COMMANDS:
        assert __main__.main(command) == 0
    assert len(given) == len(COMMANDS) >= 8
    assert "tcp://HOST:8786" in {getattr(words, "scheduler", None) for words in given}


def test_it_says_what_was_earned_and_what_it_proves(awarded):
    for path in awarded:
        lines, valid = certificate.verify(path)
        assert valid, lines
        assert "03_forward_process: quiz 7 of 8" in lines
        assert certificate.PROVES in lines and certificate.NOT in lines
    content = json.loads(awarded[0].read_text("utf-8"))["content"]
    assert content["picture"]["recipe"]["parameters"] == RECIPE
    page = awarded[1].read_text("utf-8")
    assert "<b>Byron" not in page and "data:image/png;base64," in page


@pytest.mark.parametrize(("old", "new"), [("7.0", "8.0"), ("Ada", "Eve"), ("Seed: 3", "Seed: 4")])
def test_any_change_breaks_it(awarded, tmp_path, old, new):
    for path in awarded:
        text = path.read_text("utf-8")
        assert old in text
        changed = tmp_path / path.name
        changed.write_text(text.replace(old, new), "utf-8")
        lines, valid = certificate.verify(changed)
        assert not valid and "was changed after it was signed" in lines[0]


def test_what_is_no_certificate_is_named(tmp_path):
    path = tmp_path / "other.json"
    for text in ("{}", "no", "<html>"):
        path.write_text(text)
        lines, valid = certificate.verify(path)
        assert not valid and "is no certificate" in lines[0]


def test_a_picture_needs_its_recipe(tmp_path):
    path = tmp_path / "plain.png"
    Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(ValueError, match="carries no recipe"):
        certificate.picture(path)
