"""The questions: what a bank must be, what learners are told, what the shipped file gives away."""

import builtins
import copy
import inspect
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from classroom import guessing, publish, quizbank
from imagegen.quiz import ITEMS, LETTERS, _unseal, ask, checker, letter_of, tally

BANKS, MISCONCEPTIONS = quizbank.load(quizbank.ROOT / "solutions" / "items")
BANK = BANKS["01_first_image"]
SHIPPED = json.loads(ITEMS.read_text(encoding="utf-8"))
OPTIONS = [
    (chapter, name, item, letter, option)
    for chapter, bank in BANKS.items()
    for name, item in quizbank._named(bank)
    for letter, option in zip(LETTERS, item["options"], strict=False)
]


# -- the bank ----------------------------------------------------------------------------------


def test_every_quiz_has_six_to_eight_items():
    names = [[name for name, _ in quizbank._named(bank) if name] for bank in BANKS.values()]
    assert all(6 <= len(quiz) <= 8 for quiz in names)


def _key_is_longest(bank):
    for item in bank["items"]:
        item["options"][quizbank._key(item)]["text"] += " and so on" * 20


def _key_is_always_b(bank):
    for item in bank["items"]:
        options = item["options"]
        options.insert(1, options.pop(quizbank._key(item)))


def _no_item_touches_m26(bank):
    for option in [option for item in bank["items"] for option in item["options"]]:
        if option.get("misconception") == "m26":
            option["misconception"] = "m10"


SEED = "01_first_image.yaml, item seed_is_noise: "


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda b: b.pop("title"), "01_first_image.yaml: a bank needs a title"),
        (lambda b: b["items"][2].pop("stem"), SEED + "the stem is missing."),
        (lambda b: b["items"][2]["options"][1].pop("why"), SEED + "option B does not say why"),
        (lambda b: b["items"][2]["options"][1].pop("try"), SEED + "option B has no cell to try"),
        (
            lambda b: b["items"][2]["options"][1].update(misconception="m99"),
            SEED + "option B names no misconception",
        ),
        (
            lambda b: b["items"][2]["options"][3].update(text="All of the above."),
            SEED + 'option D is an "all of the above"',
        ),
        (
            lambda b: b["items"][2]["options"][3].update(text="None of these"),
            SEED + 'option D is an "all of the above"',
        ),
        (
            lambda b: b["items"][2]["options"][3].update(text=True),
            SEED + "option D needs a text",
        ),
        (
            lambda b: b["items"][2]["options"][3].update({"try": "show("}),
            SEED + "the cell to try of option D is not Python",
        ),
        (
            lambda b: b["items"][2]["options"][3].update(correct=True),
            SEED + "exactly one option must be correct",
        ),
        (lambda b: b["items"][2].update(options=[]), SEED + "there must be 3 to 6 options"),
        (lambda b: b["items"][0].update(id="seed_is_noise"), SEED + "the id is used twice"),
        (lambda b: b["items"][0].update(id="Seed?"), "the id must be small letters"),
        (_key_is_longest, "01_first_image.yaml: the key is the longest option in 10 of 10 items."),
        (_key_is_always_b, "01_first_image.yaml: B is the key of 10 of 10 items: move some."),
        (_no_item_touches_m26, "01_first_image.yaml: no item touches m26"),
    ],
)
def test_the_lint_names_the_file_the_item_and_the_fault(damage, said):
    bank = copy.deepcopy(BANK)
    damage(bank)
    complaints = quizbank.lint({"01_first_image": bank}, MISCONCEPTIONS)
    assert any(said in complaint for complaint in complaints), complaints
    assert all("\n" not in complaint for complaint in complaints)


@pytest.mark.parametrize("strategy", guessing.STRATEGIES)
def test_no_habit_of_writing_answers_the_questions(strategy):
    """By chance alone about a quarter is right; no strategy that skips reading does much better."""
    items = [item for bank in BANKS.values() for item in bank["items"]]
    right = guessing.share_right(items, guessing.STRATEGIES[strategy])
    assert right <= 0.35, f"{strategy}: {right:.0%} of {len(items)} questions"


def test_a_habit_of_writing_is_seen():
    """Keys that are always bare beside options that argue are found out."""
    wrong = [{"text": "Red, since it is warm."}, {"text": "Blue, because it is cold and far away."}]
    items = [{"stem": "Which colour?", "options": [*wrong, {"text": "Some grey", "correct": True}]}]
    assert guessing.share_right(items, guessing.no_reason_then_shortest) == 1
    assert guessing.share_right(items, guessing.shortest) == 1
    assert guessing.share_right(items, guessing.longest) == 0


def test_a_file_that_is_not_yaml_is_named_with_its_line(tmp_path):
    (tmp_path / "01_first_image.yaml").write_text("title: A\nitems:\n  - id: a: b\n")
    with pytest.raises(ValueError, match=r"^01_first_image.yaml, line 3: this is not YAML"):
        quizbank.load(tmp_path)


# -- what learners are told --------------------------------------------------------------------


@pytest.mark.parametrize(("chapter", "name", "item", "letter", "option"), OPTIONS)
def test_every_option_is_answered_with_its_own_reason(chapter, name, item, letter, option, capsys):
    if not name:  # only a chapter asks it
        ask(item["id"], letter)
        verdict = "is right." if option.get("correct") else "is not right."
        assert capsys.readouterr().out.startswith(f"{letter} {verdict}")
        return
    checker(chapter)(name, f" {letter.lower()} ")
    out, err = capsys.readouterr()
    verdict = "is right." if option.get("correct") else "is not right."
    assert out.startswith(f"{name}: {letter} {verdict}")
    said = " ".join(out.split())
    assert " ".join(option["why"].split()) in said
    assert all(line.strip() in out for line in option.get("try", "").splitlines())
    if not option.get("correct"):
        assert MISCONCEPTIONS[option["misconception"]]["belief"] in said
    assert err == ""
    ask(item["id"], letter)
    assert " ".join(capsys.readouterr().out.split()) == said.removeprefix(f"{name}: ")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (..., 'q1: not answered yet. Choose one of A, B, C, D, for example q1 = "A"\n'),
        (None, 'q1: not answered yet. Choose one of A, B, C, D, for example q1 = "A"\n'),
        ("", 'q1: not answered yet. Choose one of A, B, C, D, for example q1 = "A"\n'),
        (2, 'q1: the answer is a letter in quotes, for example q1 = "A"\n'),
        (["B"], 'q1: the answer is a letter in quotes, for example q1 = "A"\n'),
        ("E", "q1: answer with one of A, B, C, D, not 'E'.\n"),
        ("the seed", "q1: answer with one of A, B, C, D, not 'the seed'.\n"),
    ],
)
def test_whatever_is_no_answer_gets_one_friendly_sentence(answer, said, capsys):
    assert checker("01_first_image")("q1", answer) is None
    assert capsys.readouterr() == (said, "")


def test_an_unknown_question_is_answered_with_the_known_ones(capsys):
    checker("01_first_image")("q99", "A")
    assert "its questions are q1, q2," in capsys.readouterr().out
    with pytest.raises(
        ValueError, match="There is no question 'seed': use one of what_runs_each_step"
    ):
        ask("seed")
    with pytest.raises(ValueError, match="There is no quiz '1': use one of 01_first_image"):
        checker("1")


@pytest.mark.parametrize("answer", ["B", "b", " b ", "B.", "(b)", "b)"])
def test_the_grading_reads_letters_as_the_check_does(answer, capsys):
    assert letter_of(answer) == "B"
    checker("01_first_image")("q1", answer)
    assert capsys.readouterr().out.startswith("q1: B is right.")


@pytest.mark.parametrize("answer", [..., None, 2, ["B"], "AB", ""])
def test_the_grading_takes_nothing_else_for_a_letter(answer):
    assert letter_of(answer) not in [*LETTERS]


def test_ask_outside_a_notebook_prints_question_options_and_how_to_answer(capsys):
    ask("seed_is_noise")
    out = capsys.readouterr().out
    item = next(i for i in BANK["items"] if i["id"] == "seed_is_noise")
    assert item["stem"].strip() in out
    assert all(f"- **{a}** {o['text']}" in out for a, o in quizbank._lettered(item))
    assert out.endswith('run ask("seed_is_noise", "A") with the one you choose.\n')


def _in_a_kernel(*sources):
    """The notebook, executed as `make chapters` does, before its widgets are dropped."""
    from nbclient import NotebookClient

    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


CLICK = """
import gc
import ipywidgets

found = [w for w in gc.get_objects() if isinstance(w, ipywidgets.Button | ipywidgets.HTML)]
buttons = {b.description: b for b in found if isinstance(b, ipywidgets.Button)}
(reply,) = (w for w in found if isinstance(w, ipywidgets.HTML))
assert reply.value == "" and not any(b.button_style for b in buttons.values())
for letter in "BA":
    buttons[letter].click()
    print(letter, {a: buttons[a].button_style for a in sorted(buttons)}, reply.value)
"""


def test_in_a_notebook_buttons_reply_and_none_is_chosen_before():
    shown, clicked = _in_a_kernel(
        'from imagegen.quiz import ask\nask("seed_is_noise")', inspect.cleandoc(CLICK)
    )
    question, widget = (output["data"] for output in shown)
    assert "what does the 7 decide?" in question["text/markdown"]
    assert question["text/markdown"] == question["text/plain"]
    assert "ask(" in widget["text/plain"] and publish.WIDGET in widget
    (stream,) = clicked
    wrong, right = stream["text"].strip().split("\nA {")
    assert wrong.startswith("B {'A': '', 'B': 'warning', 'C': '', 'D': ''}")
    assert "B is not right." in wrong and "The seed is the picture." in wrong and "<pre>" in wrong
    assert right.startswith("'A': 'success', 'B': '', 'C': '', 'D': ''}")
    assert "A is right." in right


def test_a_stored_notebook_keeps_the_question_and_no_widget(tmp_path):
    path = tmp_path / "chapter.ipynb"
    cell = new_code_cell('from imagegen.quiz import ask\nask("seed_is_noise")')
    nbformat.write(new_notebook(cells=[cell]), path)
    publish.execute(path)
    text = path.read_text(encoding="utf-8")
    assert "what does the 7 decide?" in text and "Choose a letter" in text
    assert "widget" not in text and "VBox" not in text


def test_without_ipywidgets_the_question_is_still_asked(monkeypatch, capsys):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name in ("ipywidgets", "IPython"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    ask("seed_is_noise")
    assert "Choose a letter" in capsys.readouterr().out


# -- the shipped file --------------------------------------------------------------------------


def test_the_shipped_file_is_built_from_the_bank():
    assert ITEMS.read_text(encoding="utf-8") == quizbank.shipped(BANKS, MISCONCEPTIONS)


def test_the_shipped_file_does_not_show_the_key():
    text = ITEMS.read_text(encoding="utf-8")
    for *_, option in OPTIONS:
        assert option["why"][:30] not in text
    for item in SHIPPED.values():
        assert len({len(sealed) for sealed in item["replies"].values()}) == 1
        assert list(item["replies"]) == sorted(item["replies"])  # by hash, not by letter


def test_a_reply_opens_only_to_its_own_letter():
    question = SHIPPED["seed_is_noise"]
    assert _unseal("seed_is_noise", "A", question)["right"]
    for item, letter in (("seed_is_noise", "E"), ("unknown_word", "A")):
        with pytest.raises(KeyError):
            _unseal(item, letter, question)


# -- exercises ---------------------------------------------------------------------------------


def test_tally_counts_what_holds_and_says_what_does_not(capsys):
    def one_is_one():
        assert 1 == 1

    def one_is_two():
        raise AssertionError("one is not two")

    def it_divides():
        return 1 / 0

    assert tally(one_is_one, one_is_two, one_is_two, it_divides) == 1
    assert capsys.readouterr() == (
        "yes  one is one\n"
        "no   one is two: one is not two\n"
        "no   one is two: the same as above\n"
        "no   it divides: ZeroDivisionError: division by zero\n"
        "1 of 4 points\n",
        "",
    )


def test_tally_does_not_swallow_an_interrupt():
    def endless():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tally(endless)


# -- the cells to try --------------------------------------------------------------------------

CELLS = sorted({option["try"] for *_, option in OPTIONS if option.get("try")})


@pytest.mark.parametrize("source", CELLS, ids=range(len(CELLS)))
def test_every_cell_to_try_runs_and_shows_something(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "cell to try", "exec"), {})
    out, err = capsys.readouterr()
    assert out.strip() and err == ""
