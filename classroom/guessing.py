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


def longest(options: list[str]) -> list[int]:
    """The options that this strategy leaves: the longest."""
    size = max(map(len, options))
    return [i for i, text in enumerate(options) if len(text) == size]


def shortest(options: list[str]) -> list[int]:
    """The shortest option."""
    size = min(map(len, options))
    return [i for i, text in enumerate(options) if len(text) == size]


def no_reason_then_shortest(options: list[str]) -> list[int]:
    """Drop the options that give a reason, unless all do; of the others the shortest."""
    left = [i for i, text in enumerate(options) if not gives_a_reason(text)]
    left = left or list(range(len(options)))
    size = min(len(options[i]) for i in left)
    return [i for i in left if len(options[i]) == size]


STRATEGIES = {
    "the longest": longest,
    "the shortest": shortest,
    "no reason, then the shortest": no_reason_then_shortest,
}


def gives_a_reason(text: str) -> bool:
    """Whether an option argues, as in ", since noise cancels out the other half"."""
    return bool(re.search(r",?\s(since|because|as|for)\s\w+", text))


def share_right(items: list[dict], strategy) -> float:
    """The share of the items that a strategy answers; equal options share a point."""
    points = 0.0
    for item in items:
        left = strategy([str(option["text"]) for option in item["options"]])
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
    head = f"{'':{width}}{'items':>6}{'chance':>9}" + "".join(f"{n:>30}" for n in STRATEGIES)
    lines = [head]
    for name, items in chapters.items():
        shares = "".join(f"{share_right(items, s):>30.0%}" for s in STRATEGIES.values())
        lines.append(f"{name:{width}}{len(items):>6}{chance(items):>9.0%}{shares}")
    everything = [o for items in chapters["all"] for o in items["options"]]
    for right in (True, False):
        those = [o for o in everything if bool(o.get("correct")) == right]
        count = sum(gives_a_reason(str(o["text"])) for o in those)
        lines.append(
            f"{count} of {len(those)} {'keys' if right else 'wrong options'} give a reason"
        )
    return "\n".join(lines)
