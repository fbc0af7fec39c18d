"""A certificate: awarded for what was solved, checked without a server, broken by any change."""

import argparse
import json

import classes
import nbformat
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from classroom import certificate, sandbox

RECIPE = "a cottage in the snow\nSteps: 20, Seed: 3"


@pytest.fixture(scope="module")
def awarded(tmp_path_factory):
    """The paths of a certificate for one quiz with a wrong letter, and a picture."""
    folder = tmp_path_factory.mktemp("reader")
    letters = [classes.WRONG[0], *classes.KEY[1:]]
    path = folder / "quizzes" / classes.CHAPTER / "quiz.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(classes.quiz(letters), path)
    words = PngInfo()
    words.add_text("parameters", RECIPE)
    Image.new("RGB", (8, 8), "red").save(folder / "mine.png", pnginfo=words)
    root = folder / "course"
    root.mkdir()
    for name in ("solutions", "quizzes"):
        (root / name).symlink_to(classes.ROOT / name)
    given = argparse.Namespace(
        folder=folder / "quizzes",
        name="Ada <b>Byron</b>",
        picture=folder / "mine.png",
        out=folder / "certificate",
        trust=bool(sandbox.why_not()),
    )
    return certificate.award(root, given)


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
