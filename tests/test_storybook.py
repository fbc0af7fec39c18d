"""The picture world: scenes are sound, drawings repeat, and captions say what is drawn."""

import random
import re
from itertools import combinations

import numpy as np
import pytest

from imagegen.storybook import (
    FACTORS,
    VALUES,
    Scene,
    caption,
    draw,
    is_held_out,
    random_scene,
    read,
    unknown_words,
    vocabulary,
    words,
)
from imagegen.storybook.caption import caption_words
from imagegen.storybook.scene import HELD_OUT, SETTINGS
from imagegen.storybook.synonyms import SYNONYMS, reworded
from imagegen.training.evaluate import PROMPTS


def some_scenes(n, held_out=None, seed=0):
    rng = random.Random(seed)
    return [random_scene(rng, held_out) for _ in range(n)]


def test_random_scenes_reach_every_value():
    scenes = some_scenes(3000)
    for factor in FACTORS:
        assert {getattr(s, factor) for s in scenes} == set(VALUES[factor])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"place": "moon"}, "is not one of"),
        ({"place": "space", "subject": "boat", "colour": "red"}, "cannot be in 'space'"),
        ({"subject": "cat"}, "needs a colour"),
        ({"subject": "waterfall", "place": "forest", "colour": "red"}, "no colour to choose"),
        ({"place": "forest", "detail": "flying cars"}, "cannot be in 'forest'"),
        ({"place": "space", "time": "night", "weather": "rain"}, "no weather"),
        ({"place": "space", "time": "day"}, "always dark"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(wrong, said):
    with pytest.raises(ValueError, match=said) as caught:
        Scene(**wrong)
    assert "\n" not in str(caught.value)


def test_held_out_scenes_never_come_in_training():
    assert not any(is_held_out(s) for s in some_scenes(3000, held_out=False))
    assert all(is_held_out(s) for s in some_scenes(300, held_out=True))
    share = np.mean([is_held_out(s) for s in some_scenes(3000)])
    assert 0.1 < share < 0.4


def test_every_value_of_a_held_out_pair_is_seen_elsewhere():
    seen = some_scenes(4000, held_out=False)
    for factors, pairs in HELD_OUT.items():
        for pair in pairs:
            for factor, value in zip(factors, pair, strict=True):
                assert any(getattr(s, factor) == value for s in seen)
            if factors == ("subject", "place"):
                assert pair[1] in SETTINGS[pair[0]]  # a picture that could be drawn


def test_same_scene_and_seed_same_picture():
    for scene in some_scenes(5):
        assert draw(scene, 1) == draw(scene, 1)
        assert draw(scene, 1) != draw(scene, 2)


def test_drawings_have_the_size_asked_for():
    picture = draw(Scene(subject="cat", colour="red"), 0, size=64)
    assert picture.size == (64, 64) and picture.mode == "RGB"


def test_changing_one_factor_changes_the_picture():
    base = Scene("beach", "day", "clear", "cat", "red", "none")
    others = [
        Scene("forest", "day", "clear", "cat", "red"),
        Scene("beach", "night", "clear", "cat", "red"),
        Scene("beach", "day", "snow", "cat", "red"),
        Scene("beach", "day", "clear", "robot", "red"),
        Scene("beach", "day", "clear", "cat", "blue"),
        Scene("beach", "day", "clear", "cat", "red", "balloon"),
    ]
    pictures = [np.asarray(draw(s, 0), float) for s in [base, *others]]
    for a, b in combinations(pictures, 2):
        assert np.abs(a - b).mean() > 1


def test_nights_are_darker_and_snow_is_brighter():
    def light(**factors):
        return np.mean([np.asarray(draw(Scene(**factors), s)).mean() for s in range(5)])

    for place in ("beach", "forest", "village"):
        day = light(place=place)
        assert light(place=place, time="night") < 0.6 * day
        assert light(place=place, weather="snow") > day


def test_a_full_caption_is_read_back_whole():
    rng = random.Random(1)
    for scene in some_scenes(2000, seed=1):
        named = read(caption(scene, rng))
        for factor in FACTORS:
            value = getattr(scene, factor)
            unsaid = value in ("none", "clear") or (factor, scene.place) in {
                ("time", "space"),
            }
            assert named.get(factor, value if unsaid else None) == value


def test_a_partial_caption_says_nothing_false():
    rng = random.Random(2)
    lengths = set()
    for scene in some_scenes(2000, seed=2):
        text = caption(scene, rng, keep=0.5)
        named = read(text)
        assert named, text
        assert all(getattr(scene, f) == v for f, v in named.items()), text
        lengths.add(len(named))
    assert lengths == {1, 2, 3, 4, 5, 6}


def test_captions_are_english():
    rng = random.Random(3)
    for scene in some_scenes(2000, seed=3):
        text = caption(scene, rng)
        assert not any(c in text for c in "[]{}~") and "  " not in text and text == text.strip()
        words = text.split()
        for article, noun in zip(words, words[1:], strict=False):
            if article in ("a", "an"):
                assert (article == "an") == (noun[0] in "aeiou"), text


def test_the_vocabulary_is_exactly_what_captions_use():
    rng = random.Random(4)
    texts = " ".join(caption(s, rng, rng.random()) for s in some_scenes(6000, seed=4))
    assert set(words(texts)) <= set(caption_words())
    assert set(caption_words()) <= set(texts.replace(",", " , ").replace("-", " - ").split())


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_course_prompts_are_understood(prompt):
    assert read(prompt) and not unknown_words(prompt)


def test_unknown_words_come_once_and_in_order():
    assert unknown_words("A zebra, a PURPLE zebra on Mars") == ["zebra", "mars"]
    assert unknown_words("") == []
    assert unknown_words("a \N{CAT} on a beach") == ["\N{CAT}"]
    assert unknown_words("a knight\u2019s castle, a dragon's castle") == []


def test_names_are_words_not_parts_of_words():
    assert read("a caterpillar in a boathouse") == {}
    assert read("a RED  Cat") == {"subject": "cat", "colour": "red"}
    assert read("a ruined city") == {"place": "ruins"}


def test_synonyms_say_the_same():
    rng = random.Random(3)
    for _ in range(2000):
        text = caption(random_scene(rng, None), rng, keep=rng.choice((0.5, 1)))
        other = reworded(text, rng, share=0.6)
        assert read(other) == read(text) and not unknown_words(other), other
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", other), other


def test_no_synonym_means_two_things():
    others = [other for others in SYNONYMS.values() for other in others]
    assert len(others) == len(set(others))
    known = set(caption_words())
    for word in SYNONYMS:
        assert set(words(word)) <= known, word
    assert not set(others) & known
    assert len(vocabulary()) >= 250
