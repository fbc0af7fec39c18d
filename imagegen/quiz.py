"""Questions that answer back: ask() in a chapter, checker() in a quiz, tally() in an exercise.

The questions are written in solutions/items and built into quiz_items.json. Its replies are
encoded, so that no reader sees the answers by accident. A reader who decodes them learns the
answers, and no grade depends on this file. Built in chapter 1.
"""

import hashlib
import html
import json
import re
import textwrap
import zlib
from base64 import b64decode
from collections.abc import Callable
from functools import cache
from pathlib import Path

ITEMS = Path(__file__).with_name("quiz_items.json")
LETTERS = "ABCDEF"


def ask(item: str, answer: str | None = None) -> None:
    """Ask one question of the course and reply to the letter that is chosen.

    item: the id of a question, such as "reverse_process"; ValueError lists them for any other.
    answer: a letter; the reply is printed at once. Without a letter the question is shown as text,
    with buttons where widgets work.
    """
    questions = _items()
    if item not in questions:
        raise ValueError(f"There is no question {item!r}: use one of {', '.join(questions)}.")
    question = questions[item]
    if answer is not None:
        print(_reply("", item, answer, question, f'ask("{item}", "A")'))
        return
    text = f"**{question['stem']}**" if "\n" not in question["stem"] else question["stem"]
    text += "\n\n" + "\n".join(f"- **{a}** {o}" for a, o in _options(question))
    hint = f'Choose a letter, or run ask("{item}", "A") with the one you choose.'
    try:
        from IPython import get_ipython

        in_notebook = hasattr(get_ipython(), "kernel")
    except ImportError:
        in_notebook = False
    if in_notebook:
        _show(text, hint, item, question)
    else:
        print(f"{text}\n\n{hint}")


def checker(chapter: str) -> Callable[[str, object], None]:
    """The check() of one chapter's quiz: check("q1", q1) prints whether q1 is right, and why.

    check() never raises an error: for any other answer it prints one sentence on what to do.
    """
    own = {id: q for id, q in _items().items() if q["chapter"] == chapter and q["name"]}
    items = {question["name"]: (id, question) for id, question in own.items()}
    if not items:
        chapters = sorted({q["chapter"] for q in _items().values()})
        raise ValueError(f"There is no quiz {chapter!r}: use one of {', '.join(chapters)}.")

    def check(name: str, answer: object) -> None:
        if name not in items:
            print(f"This quiz has no question {name!r}: its questions are {', '.join(items)}.")
            return
        item, question = items[name]
        example = f'{name} = "A"'
        print(_reply(f"{name}: ", item, answer, question, example))

    return check


def tally(*checks: Callable[[], None]) -> int:
    """Run the checks of a task, say which of them hold, and return how many do.

    Each check is a function that asserts one thing; its name says what, its message says what
    went wrong. One point each: nbgrader takes the number that a test cell ends with.
    """
    passed, messages = 0, set()
    for check in checks:
        title = check.__name__.replace("_", " ")
        try:
            check()
        except Exception as error:
            wrong = isinstance(error, AssertionError)
            message = str(error) if wrong else f"{type(error).__name__}: {error}"
            message = "the same as above" if message in messages else message
            messages.add(message)
            print(_wrap(f"no   {title}: {message}", indent="     "))
        else:
            passed += 1
            print(f"yes  {title}")
    print(f"{passed} of {len(checks)} points")
    return passed


def letter_of(answer: object) -> str:
    """The letter in an answer as the key has it: "B" for "b", " B ", "B." or "(b)"; "" for others.

    The hidden tests of a quiz use it too.
    """
    return answer.strip(" .()").upper() if isinstance(answer, str) else ""


def seal(text: str, item: str, letter: str) -> tuple[str, bytes]:
    """The name and the compressed bytes under which quiz_items.json has the reply to an option."""
    return _name(item, letter), zlib.compress(text.encode(), 9)


@cache
def _items() -> dict:
    return json.loads(ITEMS.read_text(encoding="utf-8"))


def _options(question: dict) -> list[tuple[str, str]]:
    return list(zip(LETTERS, question["options"], strict=False))


def _unseal(item: str, letter: str, question: dict) -> dict:
    data = b64decode(question["replies"][_name(item, letter)])
    return json.loads(zlib.decompressobj().decompress(data))  # and ignore the padding


def _name(item: str, letter: str) -> str:
    return hashlib.sha256(f"name of {item} {letter}".encode()).hexdigest()[:12]


def _reply(start: str, item: str, answer: object, question: dict, example: str) -> str:
    """The text that replies to an answer; it begins with `start`."""
    letters = [a for a, _ in _options(question)]
    if answer is ... or answer is None or answer == "":
        return f"{start}not answered yet. Choose one of {', '.join(letters)}, for example {example}"
    if not isinstance(answer, str):
        return f"{start}the answer is a letter in quotes, for example {example}"
    letter = letter_of(answer)
    if letter not in letters:
        return f"{start}answer with one of {', '.join(letters)}, not {answer!r}."
    reply = _unseal(item, letter, question)
    lines = [_wrap(f"{start}{_verdict(letter, reply)} {reply['why']}")]
    if reply["belief"]:
        lines.append(_wrap(f"A common belief behind it: {reply['belief']}"))
    if reply["try"]:
        lines.append("See for yourself:\n\n" + textwrap.indent(reply["try"], "    ").rstrip())
    return "\n\n".join(lines)


def _verdict(letter: str, reply: dict) -> str:
    return f"{letter} is right." if reply["right"] else f"{letter} is not right."


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 80, subsequent_indent=indent, break_on_hyphens=False)


def _show(text: str, hint: str, item: str, question: dict) -> None:
    """Show the question, and below it a button for each option if there are widgets.

    What is stored in the notebook reads well without them: the question as Markdown, the hint.
    """
    from IPython.display import display

    display({"text/markdown": text, "text/plain": text}, raw=True)
    try:
        import ipywidgets as widgets
    except ImportError:
        print(hint)
        return
    reply = widgets.HTML()
    buttons = [
        widgets.Button(description=letter, tooltip=option, layout=widgets.Layout(width="4em"))
        for letter, option in _options(question)
    ]

    def choose(chosen):
        answer = _unseal(item, chosen.description, question)
        for button in buttons:
            button.button_style = ""
        chosen.button_style = "success" if answer["right"] else "warning"
        reply.value = _html(chosen.description, answer)

    for button in buttons:
        button.on_click(choose)
    box = widgets.VBox([widgets.HBox(buttons), reply])
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": hint}, raw=True)


def _html(letter: str, reply: dict) -> str:
    """A reply for the widget; the notebook itself stores none of it."""
    belief = f"A common belief behind it: {reply['belief']}" if reply["belief"] else ""
    parts = [f"<b>{_verdict(letter, reply)}</b> {_inline(reply['why'])}", _inline(belief)]
    out = "".join(f"<p>{part}</p>" for part in parts if part)
    if reply["try"]:
        out += f"<p>See for yourself:</p><pre>{html.escape(reply['try'].rstrip())}</pre>"
    return f'<div style="line-height: 1.4; max-width: 45em">{out}</div>'


def _inline(text: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(text, quote=False))
