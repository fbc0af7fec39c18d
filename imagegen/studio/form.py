"""The form of the studio: a field for each setting, from a recipe and to one. Chapter 12."""

import random
import re

import ipywidgets as widgets

from imagegen.recipe import LAST_SEED, SCHEDULERS, Recipe, SettingError
from imagegen.studio.parts import part

SIZES = ("128x128", "192x128", "128x192")  # what storybook-sd was made for
MOST = 8  # pictures at a time


class Form:
    """The settings of a picture, each a field with its label."""

    def __init__(self, ours: bool) -> None:
        """ours: whether the model is the course's; others take no seed and no guidance."""
        self.negative = widgets.Text(placeholder="what should not be there")
        self.size = widgets.Combobox(options=SIZES, value=SIZES[0], placeholder="WIDTHxHEIGHT")
        self.steps = widgets.IntText(value=20)
        self.count = widgets.IntText(value=1)
        self.seed = widgets.Text(placeholder="random")
        self.guidance = widgets.FloatText(value=5, step=0.5)
        self.rescale = widgets.FloatText(value=0, step=0.1)
        self.scheduler = widgets.Dropdown(options=list(SCHEDULERS))
        self.strength = field("Strength", widgets.FloatText(value=0.6, step=0.05))  # of an edit
        fields = {"Size": self.size, "Steps": self.steps, "Pictures": self.count}
        if ours:
            fields |= {"Seed": self.seed, "Guidance": self.guidance, "Rescale": self.rescale}
            fields |= {"Sampler": self.scheduler}
        rows = [field(name, widget) for name, widget in fields.items()]
        if ours:
            rows.insert(0, field("Without", self.negative))
            self.negative.add_class("studio-wide")
        self.box = part("form", *rows)

    def recipe(self, prompt: str, model: str, **edit: object) -> tuple[Recipe, int]:
        """The recipe of the first picture, and how many there are; an empty seed is a random one.

        edit: source and mask of an edit, which takes the strength too. ValueError, in one
        sentence, for the first field that is wrong.
        """
        count, seed, last = self.count.value, self.seed.value.strip(), LAST_SEED - MOST
        if not 1 <= count <= MOST:
            raise ValueError(f"One to {MOST} pictures can be drawn at a time, and not {count}.")
        if seed and not (seed.isascii() and seed.isdigit() and int(seed) <= last):
            raise SettingError("seed", f"The seed is a whole number from 0 to {last}, or empty.")
        size = re.fullmatch(r"\s*(\d{1,4})\s*[x×]\s*(\d{1,4})\s*", self.size.value)
        if not size:
            raise SettingError("size", "The size is WIDTHxHEIGHT, such as 128x128.")
        return Recipe(
            prompt,
            negative_prompt=self.negative.value.strip(),
            seed=int(seed) if seed else random.randrange(last),
            steps=self.steps.value,
            guidance=self.guidance.value,
            guidance_rescale=self.rescale.value,
            width=int(size[1]),
            height=int(size[2]),
            scheduler=self.scheduler.value,
            model=model,
            strength=self.strength.value if edit else None,
            **edit,
        ), count

    def use(self, recipe: Recipe, keep_seed: bool = True) -> None:
        """Fill the fields with a recipe; without its seed, the next picture is another one."""
        self.negative.value = recipe.negative_prompt
        self.size.value = f"{recipe.width}x{recipe.height}"
        self.steps.value = recipe.steps
        self.seed.value = str(recipe.seed) if keep_seed else ""
        self.guidance.value, self.rescale.value = recipe.guidance, recipe.guidance_rescale
        if recipe.scheduler in SCHEDULERS:
            self.scheduler.value = recipe.scheduler
        if recipe.strength is not None:
            self.strength.value = recipe.strength


def field(name: str, widget: widgets.Widget) -> widgets.Widget:
    """The widget, with its name over it."""
    widget.description = name
    widget.add_class("studio-field")
    return widget
