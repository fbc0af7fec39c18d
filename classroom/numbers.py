"""What a class's results say, as numbers: difficulty, discrimination, options, beliefs, checks."""

import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from classroom.releases import Release
from classroom.states import FAULT, GRADED, NOT_FOUND
from imagegen.quiz import LETTERS


@dataclass
class Item:
    """A question as the class answered it. chosen: learners by letter; None: no answer."""

    name: str
    stem: str
    options: list[dict]
    key: str
    chosen: Counter
    difficulty: float | None  # the share who were right
    discrimination: float | None  # correlation with the points for everything else


@dataclass
class Belief:
    """A misconception in the class: who chose an option that comes from it."""

    id: str
    text: str
    learners: set[str] = field(default_factory=set)
    options: Counter = field(default_factory=Counter)  # (question, letter) -> learners


@dataclass
class Check:
    """A check of an exercise's task. messages: what failed, counted."""

    test: str
    title: str
    passed: int = 0
    failed: int = 0
    messages: Counter = field(default_factory=Counter)


def handed_in(results: dict[str, dict]) -> dict[str, dict]:
    """Those who handed in at least one file."""
    return {
        name: result
        for name, result in results.items()
        if any(part["status"] != NOT_FOUND for part in result["notebooks"].values())
    }


def totals(results: dict[str, dict]) -> dict[str, tuple[float, float]]:
    """{learner: (points so far, points that could be given without a person)}."""
    found = {}
    for name, result in handed_in(results).items():
        scores = [s for part in result["notebooks"].values() for s in part["scores"].values()]
        open_ones = sum(worth for _, worth, by_hand in scores if by_hand)
        found[name] = (sum(s[0] for s in scores), sum(s[1] for s in scores) - open_ones)
    return found


def items(results: dict[str, dict], releases: list[Release]) -> list[Item]:
    """Every question of the newest version, from those whose quiz was graded."""
    release, found = releases[0], []
    answered = {
        name: part
        for name, result in results.items()
        for part in result["notebooks"].values()
        if part["letters"] and part["status"] == GRADED
    }
    points = {n: sum(s[0] for s in part["scores"].values()) for n, part in answered.items()}
    for question, item in release.questions.items():
        asked = {
            n: part["letters"][question]
            for n, part in answered.items()
            if question in part["letters"]
            and _same_question(releases, part["version"], question, item)
        }
        key = release.key[question]
        right = {n: letter == key for n, letter in asked.items()}
        rest = [points[n] - right[n] for n in asked]
        found.append(
            Item(
                question,
                item["stem"].strip(),
                item["options"],
                key,
                Counter(asked.values()),
                sum(right.values()) / len(right) if right else None,
                correlation([float(r) for r in right.values()], rest),
            )
        )
    return found


def beliefs(results: dict[str, dict], releases: list[Release]) -> list[Belief]:
    """The misconceptions that were chosen, the most frequent first."""
    by_version, found = {r.version: r for r in releases}, {}
    for learner, result in results.items():
        for part in result["notebooks"].values():
            release = by_version.get(part["version"], releases[0])
            for question, letter in part["letters"].items():
                if letter is None or question not in release.questions:
                    continue
                option = release.questions[question]["options"][LETTERS.index(letter)]
                id = option.get("misconception")
                if id:
                    text = release.beliefs.get(id, {}).get("belief", id)
                    belief = found.setdefault(id, Belief(id, text))
                    belief.learners.add(learner)
                    belief.options[question, letter] += 1
    return sorted(found.values(), key=lambda b: (-len(b.learners), b.id))


def checks(results: dict[str, dict], releases: list[Release]) -> list[Check]:
    """The checks of all tests, in their order, with the messages of those that failed."""
    found, examples = {}, {}
    for result in results.values():
        for part in result["notebooks"].values():
            for test, lines in part["checks"].items():
                above = ""
                for title, passed, message in lines:
                    check = found.setdefault((test, title), Check(test, title))
                    if passed:
                        check.passed += 1
                        continue
                    check.failed += 1
                    above = message if message != "the same as above" else above
                    check.messages[examples.setdefault(_general(above), above)] += 1
    order = [t.name for tasks in releases[0].notebooks.values() for t in tasks]
    return sorted(found.values(), key=lambda c: order.index(c.test) if c.test in order else 99)


def for_a_person(results: dict[str, dict]) -> list[tuple[str, list[str]]]:
    """(learner, reasons) of all who need somebody to look."""
    found = []
    for name, result in sorted(results.items()):
        reasons = list(result["flags"])
        for part in result["notebooks"].values():
            if part["status"] != GRADED and not any(part["reason"] in r for r in reasons):
                reasons.append(f"{part['status']}: {part['reason']}")
        if reasons:
            worst = any(p["status"] == FAULT for p in result["notebooks"].values())
            found.append((not worst, name, reasons))
    return [(name, reasons) for _, name, reasons in sorted(found)]


def came_back(results: dict[str, dict[str, dict]], releases: dict) -> list[tuple[Belief, list]]:
    """(belief, [(learner, assignments)]) of beliefs chosen again in a later assignment."""
    where, known = {}, {}
    for assignment, class_results in sorted(results.items()):
        for belief in beliefs(class_results, releases[assignment]):
            known.setdefault(belief.id, belief)
            for learner in belief.learners:
                where.setdefault((belief.id, learner), []).append(assignment)
    found = {}
    for (id, learner), places in sorted(where.items()):
        if len(places) > 1:
            found.setdefault(id, []).append((learner, places))
    return sorted(((known[id], who) for id, who in found.items()), key=lambda x: -len(x[1]))


def box(root: Path, assignment: str, words: str) -> tuple[int, str] | None:
    """(number of the cell, text) of the "Many think" box of a chapter that treats a belief."""
    path = root / "chapters" / f"{assignment}.ipynb"
    if not path.is_file():
        return None
    wanted, best = _words(words), (0.0, None)
    for number, cell in enumerate(nbformat.read(path, 4).cells):
        if "**Many think**" in cell.source:
            text = re.sub(r"^>\s?", "", cell.source, flags=re.M)
            think = _words(text.split("**In fact**")[0])
            share = len(think & wanted) / (len(think) * len(wanted)) ** 0.5 if think else 0
            best = max(best, (share, (number, text)), key=lambda pair: pair[0])
    return best[1]


def correlation(a: list[float], b: list[float]) -> float | None:
    """Pearson's correlation; None where one of the two does not vary."""
    if len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return statistics.correlation(a, b)


def _same_question(releases, version, name, item):
    release = next((r for r in releases if r.version == version), releases[0])
    other = release.questions.get(name)
    return bool(other) and other["id"] == item["id"]


def _general(message):
    """A message without its numbers, so that equal mistakes count as one."""
    return re.sub(r"-?\d[\d.,e+-]*\d|\d", "…", message)


STOP = set("that this with from what have they their them than then which the and for not".split())


def _words(text):
    return {w.rstrip("s") for w in re.findall(r"[a-z_]{3,}", text.lower())} - STOP
