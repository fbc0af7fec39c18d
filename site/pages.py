"""The pages that Sphinx is given: chapters, quizzes, glossary, all made from the course's files.

Chapters are shown with the outputs they store; nothing is run. Their questions can be answered on
the page, and their "Names" make the glossary and the index.
"""

from __future__ import annotations

import json
import re
import shutil
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import nbformat
import yaml
from markdown_it import MarkdownIt

from imagegen import REPOSITORY, REVISION
from imagegen.storybook.caption import read, unknown_words

ROOT = Path(__file__).resolve().parents[1]
ASK = re.compile(r"^\s*ask\(\s*[\"'](\w+)[\"']", re.M)
BADGE = re.compile(r"^\[!\[Open in Colab\].*\n+", re.M)
STRING = re.compile(r"\"([^\"\n]{8,90})\"")
SEED = re.compile(r"manual_seed\((\d+)\)")
QUIZ_FILE = re.compile(r"`?quizzes/(\d\d_\w+)/quiz\.ipynb`?")
GLOSSARY = "Every name that a chapter introduces, and where; also as an {ref}`index <genindex>`.\n"
MARKDOWN = MarkdownIt("commonmark")


def write_pages(folder: Path) -> None:
    """Write all sources of the site into a folder."""
    chapters = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))
    titles = {path.stem: write_chapter(path, folder / "chapters") for path in chapters}
    banks = load_banks(ROOT / "solutions" / "items")
    write_quizzes(banks, folder)
    write_glossary({path: names(path) for path in chapters}, folder / "glossary.md")
    index = (Path(__file__).parent / "index.md").read_text(encoding="utf-8")
    index = index.replace("{{chapters}}", chapter_map(titles))
    index = index.replace("{{tree}}", "\n".join(f"chapters/{stem}" for stem in titles))
    index = index.replace("{{repository}}", REPOSITORY)
    (folder / "index.md").write_text(index, encoding="utf-8")
    shutil.copy(Path(__file__).parent / "explainer.md", folder)
    shutil.copytree(Path(__file__).parent / "static", folder / "static", dirs_exist_ok=True)
    figures = ROOT / "assets" / "figures"
    shutil.copytree(figures, folder / "figures", dirs_exist_ok=True)


def write_chapter(path: Path, folder: Path) -> str:
    """Copy a chapter, made ready for the page, and return its title."""
    notebook = nbformat.read(path, as_version=4)
    title = re.match(r"# (.+)", notebook.cells[0].source)[1]
    first = notebook.cells[0]
    first.source = BADGE.sub("", first.source) + "\n\n" + doors(path, recipes(notebook))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = QUIZ_FILE.sub(r"[quiz \1](../quizzes/\1.md)", cell.source)
            continue
        asked = ASK.search(cell.source)
        if asked and any("text/markdown" in o.get("data", {}) for o in cell.outputs):
            cell.outputs = [_html(placeholder(asked[1]))]
        if alt := alt_text(cell):
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / path.name)
    return title


def doors(path: Path, drawn: list[dict]) -> str:
    """The lines of links under a chapter's title; drawn: its recipes, for the explainer."""
    slug = REPOSITORY.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{slug}/blob/{REVISION}/chapters/{path.name}"
    explainer = "../explain/index.html"
    links = [
        f'<a href="{explainer}#{escape(urlencode(recipe))}">{escape(recipe["prompt"])}</a>'
        for recipe in drawn[:4]
    ] or [f'<a href="{explainer}">any sentence</a>']
    return (
        f"[Open in Colab]({colab}) · {{download}}`Download the notebook <{path.name}>` · "
        f"[Quiz](../quizzes/{path.stem}.md)\n\nDraw in the browser: {' · '.join(links)}"
    )


def recipes(notebook) -> list[dict]:
    """The prompts in a notebook's code that the model can draw, each once.

    A prompt comes with a seed where its cell has no other prompt and one seed.
    """
    found: dict[str, dict] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        texts = [text for text in STRING.findall(cell.source) if len(read(text)) > 1]
        texts = [text for text in texts if not unknown_words(text)]
        seeds = SEED.findall(cell.source)
        seed = {"seed": seeds[0]} if len(texts) == len(seeds) == 1 else {}
        for text in texts:
            found.setdefault(text, {"prompt": text} | seed)
    return list(found.values())


def alt_text(cell) -> str:
    """What a code cell's picture shows, as the cell or the picture itself says."""
    said = [cell.metadata.get("alt", "")]
    for output in cell.outputs:
        said += [own.get("alt", "") for own in output.get("metadata", {}).values() if own]
    return next(filter(None, said), "")


def load_banks(folder: Path) -> dict[str, dict]:
    """The quizzes of the item bank: {"01_first_image": {"title", "items"}, ...}."""
    banks = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9]*.yaml"))
    }
    beliefs = yaml.safe_load((folder / "misconceptions.yaml").read_text(encoding="utf-8"))
    for bank in banks.values():
        for option in (option for item in bank["items"] for option in item["options"]):
            option["belief"] = beliefs.get(option.get("misconception"), {}).get("belief", "")
    return banks


def write_quizzes(banks: dict[str, dict], folder: Path) -> None:
    """Write a page for each quiz, their list, and all questions as static/quiz.json."""
    (folder / "quizzes").mkdir(parents=True, exist_ok=True)
    (folder / "static").mkdir(parents=True, exist_ok=True)
    for chapter, bank in banks.items():
        page = quiz_page(chapter, bank)
        (folder / "quizzes" / f"{chapter}.md").write_text(page, encoding="utf-8")
    questions = {
        item["id"]: question(chapter, item) for chapter, bank in banks.items()
        for item in bank["items"]
    }  # fmt: skip
    text = json.dumps(questions, ensure_ascii=False)
    (folder / "static" / "quiz.json").write_text(text, encoding="utf-8")
    rows = [
        f"- [{int(chapter[:2])}. {bank['title']}]({chapter}.md) "
        f'<span class="score" data-chapter="{chapter}"></span>'
        for chapter, bank in banks.items()
    ]
    tree = "\n".join(banks)
    (folder / "quizzes" / "index.md").write_text(
        "# Quizzes\n\nEach option answers with its reason. What you chose stays in this browser, "
        "and nothing is sent anywhere.\n\n" + "\n".join(rows) + "\n\n"
        '<p><button type="button" class="quiz-reset">Forget all my answers</button></p>\n\n'
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n",
        encoding="utf-8",
    )


def quiz_page(chapter: str, bank: dict) -> str:
    """The Markdown of one quiz."""
    count = len(bank["items"])
    parts = [
        f"# Quiz {int(chapter[:2])}. {bank['title']}",
        f"{count} questions on [the chapter](../chapters/{chapter}.ipynb). Choose an option to "
        "read why it is right, or why it is tempting. You may choose again as often as you like.",
        f'<p class="score" data-chapter="{chapter}" role="status"></p>',
    ]
    for number, item in enumerate(bank["items"], 1):
        parts += [f"## Question {number}", item["stem"].strip(), placeholder(item["id"], False)]
    return "\n\n".join(parts) + "\n"


def question(chapter: str, item: dict) -> dict:
    """One question as static/quiz.json has it, its texts as HTML."""
    return {
        "chapter": chapter,
        "stem": MARKDOWN.render(item["stem"]),
        "options": [
            {
                "text": MARKDOWN.renderInline(str(option["text"])),
                "right": bool(option.get("correct")),
                "why": MARKDOWN.render(option["why"]),
                "belief": MARKDOWN.renderInline(option["belief"]),
                "try": option.get("try", "").strip(),
            }
            for option in item["options"]
        ],
    }


def placeholder(item: str, stem: bool = True) -> str:
    """Where static/quiz.js puts a question."""
    return f'<div class="quiz" data-item="{item}" data-stem="{"yes" if stem else "no"}"></div>'


def names(path: Path) -> list[tuple[list[str], str]]:
    """The terms of a chapter's "Names" with what they mean, in order."""
    cells = nbformat.read(path, as_version=4).cells
    own = next((c.source for c in cells if re.match(r"#+ Names\b", c.source)), "")
    rows = re.findall(r"^- (.+?(?:\n  .+)*)$", own, re.M)
    found = []
    for row in rows:
        head, _, meaning = " ".join(row.split()).partition(": ")
        terms = re.findall(r"\*\*(.+?)\*\*", head)
        if terms and meaning:
            found.append((terms, meaning))
    return found


def write_glossary(chapters: dict[Path, list], page: Path) -> None:
    """Write the glossary, in which a term of several chapters has a meaning from each."""
    entries: dict[str, dict] = {}
    for path, rows in chapters.items():
        link = f"[chapter {int(path.stem[:2])}](chapters/{path.name})"
        for terms, meaning in rows:
            for term in terms:
                entry = entries.setdefault(term.lower(), {"term": term, "says": {}})
                entry["says"].setdefault(meaning, []).append(link)
    lines = ["# Glossary\n", GLOSSARY, "```{glossary}"]
    for _, entry in sorted(entries.items(), key=lambda e: e[0].lstrip("`$\\")):
        lines.append(entry["term"])
        says = [f"{meaning} ({', '.join(links)})" for meaning, links in entry["says"].items()]
        lines += [f"    {says[0]}", *[f"\n    {more}" for more in says[1:]], ""]
    page.write_text("\n".join([*lines, "```", ""]), encoding="utf-8")


def chapter_map(titles: dict[str, str]) -> str:
    """The cards of the landing page: what each chapter teaches, in the README's words."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    learnt = dict(re.findall(r"\]\(chapters/(\w+)\.ipynb\) \| (.+?) \|", readme))
    cards = [
        f'<li><a href="chapters/{stem}.html"><b>{escape(title)}</b>'
        f"<span>{escape(learnt.get(stem, ''))}</span></a></li>"
        for stem, title in titles.items()
    ]
    return '<ol class="map">\n' + "\n".join(cards) + "\n</ol>"


def _html(text: str):
    return nbformat.v4.new_output("display_data", {"text/html": text})
