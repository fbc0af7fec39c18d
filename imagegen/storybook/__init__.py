"""Storybook, the picture world of the course: what can exist, how it looks, what it is called."""

from imagegen.storybook.caption import caption, read, unknown_words, vocabulary, words
from imagegen.storybook.draw import draw
from imagegen.storybook.scene import FACTORS, VALUES, Scene, is_held_out, random_scene

__all__ = [
    "FACTORS", "VALUES", "Scene", "caption", "draw", "is_held_out", "random_scene", "read",
    "unknown_words", "vocabulary", "words",
]  # fmt: skip
