"""What can exist in Storybook: a picture is one value for each of six factors.

    scene = place x time x weather x subject x colour x detail

Some pairs make no picture (a boat in space), so each subject lists the places it
may stand in. Some pairs that would make a picture are *held out*: training never
sees them, which lets the course measure whether the model combines words it knows
or only repeats pictures it has seen. Built in chapter 1.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass

GROUND = ("city", "ruins", "mountains", "forest", "jungle", "beach", "desert", "village", "meadow")
PLACES = (*GROUND, "space", "portrait")
TIMES = ("day", "dawn", "sunset", "night")
WEATHERS = ("clear", "snow", "rain", "fog")
COLOURS = ("none", "red", "yellow", "green", "blue", "purple", "white")
DETAILS = ("none", "flying cars", "birds", "balloon")

# Where each subject may be. A subject outside COLOURED has its own fixed colours.
SETTINGS = {
    "none": GROUND + ("space",),
    "cottage": GROUND,
    "castle": GROUND,
    "lighthouse": GROUND,
    "tree": GROUND,
    "boat": GROUND,
    "cat": PLACES,
    "robot": PLACES,
    "knight": GROUND + ("portrait",),
    "dragon": GROUND + ("space",),
    "waterfall": ("mountains", "forest", "jungle"),
    "space station": ("space",),
}
SUBJECTS = tuple(SETTINGS)
COLOURED = tuple(s for s in SUBJECTS if s not in ("none", "waterfall", "space station"))
FACTORS = ("place", "time", "weather", "subject", "colour", "detail")
VALUES = dict(zip(FACTORS, (PLACES, TIMES, WEATHERS, SUBJECTS, COLOURS, DETAILS), strict=True))

# Never drawn in training: one place and one colour for every subject that has a choice,
# and one kind of weather for every place under a sky. The values themselves are all
# seen, in other company.
HELD_OUT = {
    ("subject", "place"): {
        ("cottage", "beach"), ("castle", "desert"), ("lighthouse", "forest"), ("tree", "city"),
        ("boat", "village"), ("cat", "mountains"), ("robot", "meadow"), ("knight", "jungle"),
        ("dragon", "ruins"),
    },
    ("subject", "colour"): {
        ("cottage", "purple"), ("castle", "green"), ("lighthouse", "yellow"), ("tree", "blue"),
        ("boat", "red"), ("cat", "green"), ("robot", "purple"), ("knight", "white"),
        ("dragon", "blue"),
    },
    ("place", "weather"): {
        ("city", "fog"), ("ruins", "snow"), ("mountains", "rain"), ("jungle", "snow"),
        ("beach", "fog"), ("desert", "rain"), ("village", "fog"), ("meadow", "rain"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One picture's content, a value of `VALUES` for each factor; raises ValueError on nonsense."""

    place: str = "meadow"
    time: str = "day"
    weather: str = "clear"
    subject: str = "none"
    colour: str = "none"
    detail: str = "none"

    def __post_init__(self) -> None:
        for factor, value in asdict(self).items():
            if value not in VALUES[factor]:
                raise ValueError(f"{factor}={value!r} is not one of {', '.join(VALUES[factor])}.")
        if self.place not in SETTINGS[self.subject]:
            places = ", ".join(SETTINGS[self.subject])
            raise ValueError(f"{self.subject!r} cannot be in {self.place!r}, only in: {places}.")
        if (self.colour == "none") != (self.subject not in COLOURED):
            need = "needs a colour" if self.subject in COLOURED else "has no colour to choose"
            raise ValueError(f"subject {self.subject!r} {need}, got {self.colour!r}.")
        if self.detail not in details(self.place):
            raise ValueError(f"{self.detail!r} cannot be in {self.place!r}.")
        if self.place in ("space", "portrait") and self.weather != "clear":
            raise ValueError(f"there is no weather in {self.place!r}: use weather='clear'.")
        if self.place == "space" and self.time != "night":
            raise ValueError("space is always dark: use time='night'.")


def details(place: str) -> tuple[str, ...]:
    """The details a place may show: cars fly only in cities, and only the open sky has birds."""
    if place in ("space", "portrait"):
        return ("none",)
    return DETAILS if place in ("city", "ruins") else ("none", "birds", "balloon")


def is_held_out(scene: Scene) -> bool:
    """Whether a scene contains a pair of values that training never shows."""
    return any(
        (getattr(scene, a), getattr(scene, b)) in pairs for (a, b), pairs in HELD_OUT.items()
    )


def random_scene(rng: random.Random, held_out: bool | None = False) -> Scene:
    """A scene drawn at random: seen in training (False), held out (True) or either (None)."""
    while True:
        place = rng.choices(PLACES, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])[0]
        ground = place in GROUND
        subject = rng.choice([s for s in SUBJECTS if place in SETTINGS[s]])
        scene = Scene(
            place=place,
            time="night" if place == "space" else rng.choice(TIMES),
            weather=rng.choices(WEATHERS, [3, 1, 1, 1])[0] if ground else "clear",
            subject=subject,
            colour=rng.choice(COLOURS[1:]) if subject in COLOURED else "none",
            detail=rng.choice(("none", "none", *details(place)[1:])) if ground else "none",
        )
        if held_out is None or is_held_out(scene) == held_out:
            return scene
