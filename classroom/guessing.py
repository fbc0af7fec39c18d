"""How far the questions can be guessed without reading them, over all chapters.

Each strategy is something a test-wise learner does. By chance alone about a quarter is right; a
strategy that does much better shows a habit of the author.
"""

import re
from pathlib import Path

import yaml


def banks(root: Path) -> dict[str, list[dict]]:
    """{chapter: items} as they stand in solutions/items."""
    paths = sorted((root / "solutions" / "items").glob("[0-9]*.yaml"))
    return {p.stem: yaml.safe_load(p.read_text("utf-8"))["items"] for p in paths}


ABSOLUTE = r"\b(all|always|never|nothing|none|no|only|every|alone|any|both|cannot|must)\b"


def longest(stem: str, options: list[str]) -> list[int]:
    """The options that this strategy leaves: the longest."""
    size = max(map(len, options))
    return [i for i, text in enumerate(options) if len(text) == size]


def shortest(stem: str, options: list[str]) -> list[int]:
    """The shortest option."""
    size = min(map(len, options))
    return [i for i, text in enumerate(options) if len(text) == size]


def no_reason_then_shortest(stem: str, options: list[str]) -> list[int]:
    """Drop the options that give a reason, unless all do; of the others the shortest."""
    left = [i for i, text in enumerate(options) if not gives_a_reason(text)]
    left = left or list(range(len(options)))
    size = min(len(options[i]) for i in left)
    return [i for i in left if len(options[i]) == size]


def nothing_absolute(stem: str, options: list[str]) -> list[int]:
    """Drop the options that say all, never, only and the like, unless all do."""
    left = [i for i, text in enumerate(options) if not re.search(ABSOLUTE, text, re.IGNORECASE)]
    return left or list(range(len(options)))


def words_of_the_question(stem: str, options: list[str]) -> list[int]:
    """The options that repeat most words of the question."""
    shared = [len(long_words(text) & long_words(stem)) for text in options]
    return [i for i, count in enumerate(shared) if count == max(shared)]


def most_alike(stem: str, options: list[str]) -> list[int]:
    """The options that share most words with the others, which an author varied from the key."""
    words = [long_words(text) for text in options]
    shared = [sum(len(own & other) for other in words) - len(own) for own in words]
    return [i for i, count in enumerate(shared) if count == max(shared)]


STRATEGIES = {
    "the longest": longest,
    "the shortest": shortest,
    "no reason, then shortest": no_reason_then_shortest,
    "nothing absolute": nothing_absolute,
    "words of the question": words_of_the_question,
    "most alike": most_alike,
}


def long_words(text: str) -> set[str]:
    """The words of four letters and more."""
    return set(re.findall(r"[a-z]{4,}", text.lower()))


def gives_a_reason(text: str) -> bool:
    """Whether an option argues, as in ", since noise cancels out the other half"."""
    return bool(re.search(r",?\s(since|because|as|for)\s\w+", text))


def share_right(items: list[dict], strategy) -> float:
    """The share of the items that a strategy answers; equal options share a point."""
    points = 0.0
    for item in items:
        left = strategy(item["stem"], [str(option["text"]) for option in item["options"]])
        key = [bool(option.get("correct")) for option in item["options"]].index(True)
        points += (key in left) / len(left)
    return points / len(items)


def chance(items: list[dict]) -> float:
    """The share that is right by choosing at random."""
    return sum(1 / len(item["options"]) for item in items) / len(items)


def table(root: Path) -> str:
    """A line for each chapter and one for all: the share that each strategy answers."""
    chapters = banks(root)
    chapters["all"] = [item for items in chapters.values() for item in items]
    width = max(map(len, chapters)) + 2
    head = f"{'':{width}}{'items':>6}{'chance':>9}" + "".join(f"  {n}" for n in STRATEGIES)
    lines = [head]
    for name, items in chapters.items():
        shares = "".join(f"{share_right(items, s):>{len(n) + 2}.0%}" for n, s in STRATEGIES.items())
        lines.append(f"{name:{width}}{len(items):>6}{chance(items):>9.0%}{shares}")
    everything = [o for items in chapters["all"] for o in items["options"]]
    for right in (True, False):
        those = [o for o in everything if bool(o.get("correct")) == right]
        count = sum(gives_a_reason(str(o["text"])) for o in those)
        lines.append(
            f"{count} of {len(those)} {'keys' if right else 'wrong options'} give a reason"
        )
    return "\n".join(lines)
