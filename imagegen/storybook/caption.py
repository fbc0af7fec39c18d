"""From a scene to an English sentence and back.

`caption` names the factors of a scene in one of many phrasings; `read` finds the factors a
sentence names. Both use one table, so whatever can be said can be read. Built in chapter 1.
"""

from __future__ import annotations

import random
import re
import unicodedata
from functools import cache

from imagegen.storybook.scene import FACTORS, Scene
from imagegen.storybook.synonyms import PLAIN, plain

# factor -> value -> phrasings. [Brackets] hold the words that name the value; {w} takes an
# adjective of weather or mood, {c} a colour.
PHRASES = {
    "place": {
        "city": ["in a {w}futuristic [city]", "in a {w}[city]", "in a {w}futuristic [cityscape]"],
        "ruins": ["in a {w}[dystopian world]", "in a {w}[ruined city]", "in {w}[ruins]"],
        "mountains": ["in the {w}[mountains]", "in a {w}[mountain] landscape"],
        "forest": ["in a {w}[forest]", "in the {w}[woods]", "in a {w}pine [forest]"],
        "jungle": ["in a {w}[jungle]", "in a {w}dense [jungle]", "in a {w}[rainforest]"],
        "beach": ["on a {w}[beach]", "on a {w}sandy [beach]", "by the {w}[sea]"],
        "desert": ["in a {w}[desert]", "in the {w}[dunes]", "in a {w}sandy [desert]"],
        "village": ["in a {w}[village]", "in a {w}[town]", "in a {w}little [town]"],
        "meadow": ["in a {w}[meadow]", "in a {w}[field]", "in the {w}[meadow]"],
        "space": ["in [space]", "in outer [space]", "orbiting [earth]", "above [earth]"],
        "portrait": ["a [portrait] of", "a close [portrait] of"],
    },
    "time": {
        "day": ["during the [day]", "at [noon]", "in [daylight]"],
        "dawn": ["at [dawn]", "at [sunrise]", "in the early [morning]"],
        "sunset": ["at [sunset]", "during [sunset]", "in the [evening]", "at [dusk]"],
        "night": ["at [night]", "at [midnight]", "under the [moon]"],
    },
    "weather": {
        "clear": ["in [clear] weather", "under a [clear] sky"],
        "snow": ["in the [snow]", "in [winter]", "[snow-covered] ", "[snowy] "],
        "rain": ["in the [rain]", "in [rainy] weather", "[rainy] "],
        "fog": ["in the [fog]", "in the [mist]", "[foggy] ", "[misty] "],
    },
    "subject": {
        "cottage": ["a {c}[cottage]", "a {c}[house]", "a cozy {c}[cottage]"],
        "castle": ["a {c}[castle]", "a majestic {c}[castle]", "a {c}[fortress]"],
        "lighthouse": ["a {c}[lighthouse]", "a tall {c}[lighthouse]"],
        "tree": ["a {c}[tree]", "a big {c}[tree]", "a lone {c}[tree]"],
        "boat": ["a {c}[boat]", "a {c}sailing [boat]", "a {c}[sailboat]"],
        "cat": ["a {c}[cat]", "a {c}[kitten]", "a {c}[cat] sitting"],
        "robot": ["a {c}[robot]", "a futuristic {c}[robot]", "a {c}[android]"],
        "knight": ["a {c}[knight]", "a medieval {c}[knight]", "a {c}[knight] in armor"],
        "dragon": ["a {c}[dragon]", "a flying {c}[dragon]", "a fearsome {c}[dragon]"],
        "waterfall": ["a [waterfall]", "a majestic [waterfall]", "a tall [waterfall]"],
        "space station": ["a [space station]", "a futuristic [space station]"],
    },
    "colour": {c: [f"[{c}] "] for c in ("red", "yellow", "green", "blue", "purple", "white")},
    "detail": {
        "flying cars": ["with flying [cars]", "with hovering [cars]"],
        "birds": ["with [birds]", "with a flock of [birds]"],
        "balloon": ["with a hot-air [balloon]", "with a [balloon]"],
    },
}
MOODS = ("serene ", "quiet ", "beautiful ", "lonely ", "peaceful ")
OPENINGS = ("", "", "", "a picture of ", "a painting of ", "an illustration of ")


def caption(scene: Scene, rng: random.Random, keep: float = 1.0) -> str:
    """Say what a scene shows, in one of many phrasings.

    keep: probability of naming each factor; 1 names them all. What is not there (no subject,
    no detail) goes unsaid, clear weather half of the time; a portrait always says of whom.
    """
    said = {f: getattr(scene, f) for f in FACTORS if rng.random() < keep}
    if scene.place == "portrait":
        said |= {"place": scene.place, "subject": scene.subject}
    if scene.place in ("space", "portrait") or (scene.weather == "clear" and rng.random() < 0.5):
        said.pop("weather", None)  # there is none, or none worth a word
    if scene.place == "space":
        said.pop("time", None)  # always dark
    say = {f: rng.choice(PHRASES[f][v]) for f, v in said.items() if v != "none"}
    if "subject" not in say and "detail" not in say:
        say.setdefault("place", rng.choice(PHRASES["place"][scene.place]))

    adjective = rng.choice(MOODS) if rng.random() < 0.1 else ""
    if say.get("weather", "").endswith(" "):
        if "{w}" in say.get("place", ""):
            adjective = say.pop("weather")
        else:
            say["weather"] = PHRASES["weather"][scene.weather][0]
    place = say.pop("place", "").format(w=adjective)
    subject = say.pop("subject", "").format(c=say.pop("colour", ""))
    if scene.place == "portrait":
        head = f"{place} {subject}"
    elif subject:
        head = rng.choice(OPENINGS) + f"{subject} {place}".strip()
    else:
        noun = re.sub(r"^(in|on|by|above|orbiting) ", "", place)
        head = (rng.choice(OPENINGS) + noun) if noun else say.pop("detail").removeprefix("with ")
    tails = list(say.values())
    rng.shuffle(tails)
    text = rng.choice((" ", " ", ", ")).join([head, *tails])
    return re.sub(r"\ba(?= [aeiou])", "an", re.sub(r"[\[\]]", "", text))


# The naming words of all phrases, longest first: "ruined city" is not a "city".
_NAMES = {
    name: (factor, value)
    for factor, values in PHRASES.items()
    for value, phrases in values.items()
    for phrase in phrases
    for name in re.findall(r"\[(.+?)\]", phrase)
}
_NAME = re.compile(r"\b(" + "|".join(sorted(_NAMES, key=len, reverse=True)) + r")\b")


def words(text: str) -> list[str]:
    """The words of a text as the tokenizer sees them: lower case, hyphens apart."""
    return re.findall(r"[^\W_]+|[^\w\s]", re.sub("['\u2019]s\\b", "", text.lower()))


def caption_words() -> list[str]:
    """Every word that captions can contain, sorted."""
    phrases = [p for values in PHRASES.values() for ps in values.values() for p in ps]
    text = " ".join([*phrases, *MOODS, *OPENINGS]).replace("{w}", " ").replace("{c}", " ")
    return sorted(set(words(re.sub(r"[\[\]]", "", text))) | {","})


def vocabulary() -> list[str]:
    """Every word that training meets, sorted: those of captions and of their synonyms."""
    return sorted({*caption_words(), *words(" ".join(PLAIN))})


def read(prompt: str) -> dict[str, str]:
    """The factors a prompt names, {"place": "beach", ...}; the first name of a factor counts.

    A synonym names what the word names that it stands for.
    """
    named: dict[str, str] = {}
    for name in _NAME.findall(plain(" ".join(prompt.lower().split()))):
        factor, value = _NAMES[name]
        named.setdefault(factor, value)
    return {f: named[f] for f in FACTORS if f in named}


def unknown_words(prompt: str) -> list[str]:
    """The words and emoji of a prompt that training never met, in order, each once."""
    known = _known()
    found = [w for w in words(prompt) if w.isalnum() or unicodedata.category(w) == "So"]
    return list(dict.fromkeys(word for word in found if word not in known))


@cache
def _known() -> frozenset[str]:
    """The words of vocabulary(), to look them up."""
    return frozenset(vocabulary())
