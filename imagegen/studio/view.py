"""What is seen of the studio: widgets, made once and later only changed. Built in chapter 12.

Only widgets that ipywidgets 7 and 8 share; style.css knows the parts by their names.
"""

import random
from html import escape
from pathlib import Path

import ipywidgets as widgets

from imagegen.recipe import LAST_SEED, Recipe, SettingError

THEMES = (
    "A lighthouse at night", "A cottage in a snow-covered forest", "A futuristic city at sunset",
    "A cat on a beach", "A dragon over the mountains", "A portrait of a knight", "Hope",
)  # fmt: skip
SIZES = {"Square": (128, 128), "Wide": (192, 128), "Tall": (128, 192)}
QUALITIES = {"Low, 8 steps": 8, "Medium, 20 steps": 20, "High, 40 steps": 40}
MOST = 8  # pictures at a time
HINT = "Pick a theme, have it described, change the words as you like, and draw."
STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


class Form:
    """The settings of a picture: a field for each, from and to a recipe."""

    def __init__(self, ours):
        """ours: whether the model is the course's; others take no seed and no guidance."""
        self.size = widgets.Dropdown(options=list(SIZES.items()))
        self.steps = widgets.Dropdown(options=list(QUALITIES.items()), value=20)
        self.count = widgets.IntText(value=1)
        self.seed = widgets.Text(placeholder="random")
        self.guidance = widgets.FloatText(value=5, step=0.5)
        self.rescale = widgets.FloatText(value=0, step=0.1)
        fields = {"Size": self.size, "Quality": self.steps, "Pictures": self.count}
        if ours:
            fields |= {"Seed": self.seed, "Guidance": self.guidance, "Rescale": self.rescale}
        self.box = part("form", *(part("field", label(n), field) for n, field in fields.items()))

    def recipe(self, prompt, model):
        """The recipe of the first picture, and how many there are; an empty seed is a random one.

        ValueError, in one sentence, for the first field that is wrong.
        """
        count, seed = self.count.value, self.seed.value.strip()
        if not 1 <= count <= MOST:
            raise ValueError(f"One to {MOST} pictures can be drawn at a time, and not {count}.")
        if seed and not (seed.isdecimal() and int(seed) <= LAST_SEED - MOST):
            raise SettingError(
                "seed", f"The seed is a whole number from 0 to {LAST_SEED - MOST}, or empty."
            )
        width, height = self.size.value
        return Recipe(
            prompt,
            seed=int(seed) if seed else random.randrange(LAST_SEED - MOST),
            steps=self.steps.value,
            guidance=self.guidance.value,
            guidance_rescale=self.rescale.value,
            width=width,
            height=height,
            model=model,
        ), count

    def use(self, recipe):
        """Fill the fields with a recipe."""
        if recipe.steps not in QUALITIES.values():
            self.steps.options = [*QUALITIES.items(), (f"{recipe.steps} steps", recipe.steps)]
        self.steps.value = recipe.steps
        self.seed.value = str(recipe.seed)
        self.guidance.value, self.rescale.value = recipe.guidance, recipe.guidance_rescale
        tall = recipe.height - recipe.width  # in pixels of whatever model drew it
        self.size.value = SIZES["Tall" if tall > 0 else "Wide" if tall < 0 else "Square"]


class View:
    """All widgets of the page, and how they change."""

    def __init__(self, ours):
        self.make_inputs(ours)
        self.make_outputs()
        self.arrange()
        self.rest()
        self.say(HINT)

    def make_inputs(self, ours):
        """What can be pressed and filled in."""
        self.themes = [widgets.Button(description=theme) for theme in THEMES]
        self.theme = widgets.Text(placeholder="or a theme of your own")
        for button in self.themes:
            button.on_click(lambda button: setattr(self.theme, "value", button.description))
        self.describe = widgets.Button(description="Describe", button_style="primary")
        self.text = widgets.Textarea(placeholder="Describe a theme, or write yourself.", rows=8)
        self.form = Form(ours)
        self.draw = widgets.Button(description="Draw", button_style="primary")
        self.upload = widgets.FileUpload(description="Settings of a PNG", accept=".png")
        self.cancel = widgets.Button(description="Cancel")
        self.reuse = widgets.Button(description="Use these settings")
        self.save = widgets.Button(description="Save")

    def make_outputs(self):
        """What only shows."""
        self.bar = widgets.FloatProgress(max=1)
        self.doing = widgets.Label()
        self.message = widgets.HTML()
        self.picture = widgets.Image()
        self.caption = widgets.HTML()
        self.empty = widgets.HTML('<p class="studio-empty">Your picture will hang here.</p>')
        self.loader = part("loader", self.bar, self.doing, self.cancel)
        self.buttons = part("row", self.reuse, self.save)
        self.result = part("result", self.picture, self.caption, self.buttons)
        self.gallery = part("gallery")

    def arrange(self):
        """Put the widgets on the page."""
        make = part(
            "panel", heading("Theme"), part("themes", *self.themes),
            part("row", self.theme, self.describe), heading("Description"), self.text,
            heading("Settings"), self.form.box, part("row", self.draw, self.upload),
        )  # fmt: skip
        see = part("panel", heading("Picture"), self.empty, self.result)
        self.shelf = part("panel", heading("Gallery"), self.gallery)
        title = widgets.HTML(f"<style>{STYLE}</style><h1>Painting studio</h1>")
        news = part("news", self.message, self.loader)
        self.page = part("page", title, news, part("desk", make, see), self.shelf)

    def wait(self, doing):
        """Something runs: the loader is there, and nothing else can be begun."""
        show(self.message, False)
        self.tell(doing)
        self.enable(False)

    def rest(self):
        """Nothing runs."""
        self.enable(True)
        if not self.gallery.children:
            show(self.result, False)
            show(self.shelf, False)
            show(self.empty, True)

    def enable(self, enabled):
        for widget in (self.describe, self.draw, self.text):
            widget.disabled = not enabled
        show(self.loader, not enabled)

    def tell(self, doing, done=0.0):
        """Say in the loader what is being done, and which part of it is."""
        self.doing.value, self.bar.value = doing, done

    def say(self, text, wrong=False):
        """Put a sentence at the top of the page, or take the last one away with an empty one."""
        kind, role = ("wrong", "alert") if wrong else ("message", "status")
        self.message.value = f'<p class="studio-{kind}" role="{role}">{escape(text)}</p>'
        show(self.message, text)

    def show_preview(self, png):
        """A picture that is not done yet takes the place of the last one."""
        self.picture.value = png
        self.caption.value = "<p>A preview: what the model makes of the noise so far.</p>"
        show(self.empty, False)
        show(self.buttons, False)
        show(self.result, True)

    def show_picture(self, png, recipe):
        """A picture, its recipe in a line, and what can be done with it."""
        self.picture.value = png
        self.caption.value = f"<p>{escape(recipe_line(recipe))}</p>"
        show(self.empty, False)
        show(self.buttons, True)
        show(self.result, True)

    def frame(self, png, recipe):
        """Hang a picture into the gallery; the button under it."""
        button = widgets.Button(description="Show", tooltip=recipe.prompt)
        picture = part("frame", widgets.Image(value=png), button)
        self.gallery.children = (picture, *self.gallery.children)
        show(self.shelf, True)
        return button


def part(name, *inside):
    """A box that style.css knows by name."""
    box = widgets.Box(inside)
    box.add_class(f"studio-{name}")
    return box


def heading(text):
    return widgets.HTML(f"<h2>{text}</h2>")


def label(text):
    return widgets.HTML(f"<label>{text}</label>")


def show(widget, visible):
    widget.layout.display = None if visible else "none"


def recipe_line(recipe):
    """The settings of a picture in one line."""
    return (
        f"Seed {recipe.seed}, {recipe.steps} steps, guidance {recipe.guidance:g}, "
        f"drawn at {recipe.width} x {recipe.height} pixels"
    )


def clear_upload(upload):
    """Forget the chosen file, so that choosing it again is a change."""
    upload.value = () if not isinstance(upload.value, dict) else {}
    if hasattr(upload, "_counter"):  # ipywidgets 7
        upload._counter = 0


def uploaded(upload):
    """Name and bytes of the file in a FileUpload; ipywidgets 7 and 8 keep them differently."""
    files = upload.value
    if isinstance(files, dict):
        name, file = next(iter(files.items()))
    else:
        name, file = files[0]["name"], files[0]
    return name, bytes(file["content"])
