"""Other words for those of the captions, so that a model also hears what people really type.

Each means what the world can show, or changes nothing in it: a hut is drawn as a cottage, and
"little" or "walking" leave the picture as it is.
"""

from __future__ import annotations

import random
import re

# What captions say -> what may stand in its place.
SYNONYMS = {
    # places
    "city": ["metropolis"],
    "cityscape": ["skyline", "city skyline"],
    "dystopian world": ["wasteland", "destroyed city", "abandoned city"],
    "ruined city": ["broken city", "crumbling city"],
    "ruins": ["rubble"],
    "in the mountains": ["in the hills", "in front of the mountains", "among the peaks"],
    "mountain landscape": ["hill landscape", "mountain scenery", "alpine landscape"],
    "forest": ["grove", "woodland"],
    "pine": ["fir"],
    "dense": ["thick", "lush", "tropical"],
    "beach": ["shore", "coast", "seashore"],
    "by the sea": ["by the ocean", "at the seaside", "in front of the sea"],
    "in the dunes": ["through the dunes", "among the dunes"],
    "village": ["hamlet"],
    "meadow": ["pasture", "grassland"],
    "field": ["prairie"],
    "outer space": ["the cosmos", "the universe"],
    "orbiting": ["circling"],
    "earth": ["the planet"],
    "portrait": ["headshot"],
    # times
    "during the day": ["under the sun", "in the afternoon", "in sunlight", "in sunshine"],
    "noon": ["midday", "daytime"],
    "dawn": ["daybreak"],
    "sunset": ["sundown", "twilight"],
    "midnight": ["nighttime"],
    "under the moon": ["in the moonlight", "under the stars", "in the dark"],
    # weather
    "clear weather": ["fair weather", "good weather"],
    "clear sky": ["cloudless sky"],
    "in the snow": ["in a snowstorm", "in a blizzard", "during snowfall"],
    "snowy": ["wintry", "icy", "frozen", "frosty"],
    "in the rain": ["in a storm", "in a downpour", "through the rain"],
    "rainy": ["stormy", "wet"],
    "in the fog": ["in the haze", "through the fog"],
    "misty": ["hazy"],
    # subjects
    "cottage": ["hut", "cabin", "farmhouse"],
    "house": ["home"],
    "castle": ["palace", "citadel"],
    "lighthouse": ["beacon"],
    "tree": ["oak"],
    "boat": ["ship", "yacht", "vessel"],
    "cat": ["kitty", "feline"],
    "sitting": ["seated", "waiting", "resting"],
    "robot": ["droid", "machine", "cyborg"],
    "knight": ["warrior", "paladin", "knight standing", "knight walking"],
    "armor": ["armour"],
    "dragon": ["wyvern", "beast"],
    "waterfall": ["cascade", "cataract"],
    "space station": ["satellite", "spacecraft"],
    # details
    "cars": ["vehicles"],
    "hovering": ["floating"],
    "birds": ["gulls", "seagulls", "crows"],
    "flock": ["group"],
    # words that change nothing
    "futuristic": ["modern", "neon"],
    "sandy": ["wide", "endless"],
    "cozy": ["small", "tiny", "warm", "snug"],
    "majestic": ["grand", "mighty", "magnificent"],
    "tall": ["high", "towering"],
    "big": ["large", "huge", "giant", "old", "ancient"],
    "lone": ["single", "solitary"],
    "medieval": ["brave", "noble"],
    "fearsome": ["fierce", "scary", "dangerous"],
    "flying": ["soaring"],
    "serene": ["calm", "tranquil"],
    "quiet": ["silent", "still"],
    "beautiful": ["pretty", "lovely", "wonderful"],
    "lonely": ["empty"],
    "peaceful": ["dreamy", "magical"],
    "picture": ["image", "photo", "view", "scene"],
    "painting": ["watercolor", "poster"],
    "illustration": ["drawing", "sketch"],
    "with": ["and", "featuring"],
    # colours
    "red": ["crimson", "scarlet"],
    "yellow": ["golden", "amber"],
    "green": ["emerald"],
    "blue": ["azure"],
    "purple": ["violet"],
    "white": ["pale", "ivory"],
}


def _any(words: list[str] | dict) -> re.Pattern:
    longest = sorted(words, key=len, reverse=True)
    return re.compile(r"\b(" + "|".join(map(re.escape, longest)) + r")\b")


# The other way round: what may stand there -> what captions say.
PLAIN = {other: word for word, others in SYNONYMS.items() for other in others}
_SYNONYMS, _OTHERS = _any(SYNONYMS), _any(PLAIN)


def reworded(text: str, rng: random.Random, share: float = 0.4) -> str:
    """A caption with some of its words replaced by others that mean the same.

    share: how often a word that has others is replaced.
    """

    def other(found: re.Match) -> str:
        return rng.choice(SYNONYMS[found[0]]) if rng.random() < share else found[0]

    text = _SYNONYMS.sub(other, text)
    return re.sub(r"\ban?(?= (\w))", lambda a: "an" if a[1] in "aeiou" else "a", text)


def plain(text: str) -> str:
    """A text in lower case, in the words of captions."""
    return _OTHERS.sub(lambda found: PLAIN[found[0]], text)
