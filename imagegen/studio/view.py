"""What is seen of the studio: widgets, made once and later only changed. Built in chapter 12.

Widgets that ipywidgets 7 and 8 share, and one brush; style.css knows the parts by their names.
"""

import base64
import warnings
from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets as widgets

from imagegen.recipe import Recipe
from imagegen.studio.brush import Brush
from imagegen.studio.form import Form
from imagegen.studio.parts import heading, part, show

THEMES = (
    "A lighthouse at night", "A cottage in a snow-covered forest", "A futuristic city at sunset",
    "A cat on a beach", "A dragon over the mountains", "A portrait of a knight", "Hope",
)  # fmt: skip
HINT = "Pick a theme, have it described, change the words as you like, and draw."
COMPARED = ("guidance", "steps", "sampler", "seed")
STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


class View:
    """All widgets of the page, and how they change."""

    def __init__(self, ours: bool) -> None:
        """ours: whether the model is the course's, which takes settings of its own."""
        self.make_inputs(ours)
        self.make_outputs()
        self.arrange(ours)
        self.rest()
        self.say(HINT)

    def make_inputs(self, ours: bool) -> None:
        """What can be pressed and filled in."""
        self.themes = [widgets.Button(description=theme) for theme in THEMES]
        self.theme = quiet(widgets.Text(placeholder="or a theme of your own", description="Theme"))
        for button in self.themes:
            button.on_click(lambda button: setattr(self.theme, "value", button.description))
        self.describe = widgets.Button(description="Describe", button_style="primary")
        hint = "Describe a theme, or write yourself."
        self.text = quiet(widgets.Textarea(placeholder=hint, description="Description", rows=6))
        self.unknown = widgets.HTML()
        self.form = Form(ours)
        self.draw = widgets.Button(description="Draw", button_style="primary")
        self.compared = quiet(widgets.Dropdown(options=COMPARED, description="What to compare"))
        self.compare = widgets.Button(description="Compare", tooltip="Draw four values of it")
        self.upload = upload_button("Settings of a PNG", ".png")
        self.start_upload = upload_button("Begin with a picture", "image/*")
        self.brush = Brush()
        self.forget_start = widgets.Button(description="Begin with noise again")
        self.cancel = widgets.Button(description="Cancel")
        self.reuse = widgets.Button(description="Use these settings")
        self.vary = widgets.Button(description="Vary", tooltip="The same with another seed")
        self.start = widgets.Button(description="Change it", tooltip="Begin with this picture")
        self.large = widgets.ToggleButton(description="Large")
        self.delete = widgets.Button(description="Delete", tooltip="Move it to results/deleted")

    def make_outputs(self) -> None:
        """What only shows."""
        self.bar = widgets.FloatProgress(max=1)
        self.doing = widgets.Label()
        self.message = widgets.HTML()
        self.picture = widgets.HTML()
        self.caption = widgets.HTML()
        self.download = widgets.HTML()
        self.empty = widgets.HTML('<p class="studio-empty">Your picture will hang here.</p>')
        self.loader = part("loader", self.bar, self.doing, self.cancel)
        self.buttons = part(
            "row", self.reuse, self.vary, self.start, self.large, self.download, self.delete
        )
        self.result = part("result", self.picture, self.caption, self.buttons)
        self.gallery = part("gallery")
        self.large.observe(lambda change: self.zoom(change["new"]), "value")

    def arrange(self, ours: bool) -> None:
        """Put the widgets on the page."""
        self.begin = part("begin", self.brush, self.form.strength, self.forget_start)
        make = part(
            "panel make", heading("Theme"), part("themes", *self.themes),
            part("row", self.theme, self.describe), heading("Description"), self.text,
            self.unknown, self.begin, part("row", self.draw, self.start_upload),
        )  # fmt: skip
        see = part("panel see", heading("Picture"), self.empty, self.result)
        comparing = [self.compare, self.compared] if ours else []
        settings = part("row", self.upload, *comparing)
        choose = part("panel set", heading("Settings"), self.form.box, settings)
        self.shelf = part("panel", heading("Gallery"), self.gallery)
        title = widgets.HTML(f"<style>{STYLE}</style><h1>Painting studio</h1>")
        news = part("news", self.message, self.loader)
        self.page = part("page", title, news, part("desk", make, see, choose), self.shelf)
        self.show_start(None)

    def on_enter(self, action: Callable[[], None]) -> None:
        """What the Enter key does in the theme's field."""
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            self.theme.on_submit(lambda _: action())  # ipywidgets 7 knows no other way

    def wait(self, doing: str) -> None:
        """Something runs: the loader is there, and nothing else can be begun."""
        show(self.message, False)
        self.tell(doing)
        self.enable(False)

    def rest(self) -> None:
        """Nothing runs."""
        self.enable(True)
        if not self.gallery.children:
            show(self.result, False)
            show(self.shelf, False)
            show(self.empty, True)

    def enable(self, enabled: bool) -> None:
        for widget in (self.describe, self.draw, self.compare, self.text):
            widget.disabled = not enabled
        show(self.loader, not enabled)

    def tell(self, doing: str, done: float = 0.0) -> None:
        """Show in the loader what is being done, and which part of it is."""
        self.doing.value, self.bar.value = doing, done
        show(self.bar, done)  # an empty bar says nothing

    def say(self, text: str, wrong: bool = False) -> None:
        """Put a sentence at the top of the page, or take the last one away with an empty one."""
        kind, role = ("wrong", "alert") if wrong else ("message", "status")
        self.message.value = f'<p class="studio-{kind}" role="{role}">{escape(text)}</p>'
        show(self.message, text)

    def warn(self, words: list[str]) -> None:
        """Name the words of the description that the model never learned."""
        names = ", ".join(words)
        text = f"The model never learned these words, and cannot draw them: {names}."
        text = text if words else ""
        self.unknown.value = f'<p class="studio-hint" role="status">{escape(text)}</p>'
        show(self.unknown, text)

    def show_start(self, png: bytes | None) -> None:
        """The picture to begin with, under the brush, and its strength; None takes all away."""
        if png:
            self.brush.show(png)
        show(self.begin, png)

    def show_preview(self, png: bytes) -> None:
        """A picture that is not done yet takes the place of the last one."""
        self.picture.value = image(png, "A preview of the picture being drawn")
        self.caption.value = "<p>A preview: the model's guess so far.</p>"
        show(self.empty, False)
        show(self.buttons, False)
        show(self.result, True)

    def show_picture(self, png: bytes, recipe: Recipe, name: str) -> None:
        """A picture, its prompt and settings, and what can be done with it."""
        self.picture.value = image(png, recipe.prompt)
        line = escape(recipe_line(recipe))
        self.caption.value = f"<p>{escape(recipe.prompt)}</p><p>{line}</p>"
        link = f'<a class="jupyter-button" download="{escape(name)}" href="{data_url(png)}">'
        self.download.value = f"{link}Download</a>"
        show(self.empty, False)
        show(self.buttons, True)
        show(self.result, True)

    def show_sheet(self, png: bytes, text: str) -> None:
        """Several pictures side by side, and what differs."""
        self.picture.value = image(png, text)
        self.caption.value = f"<p>{escape(text)}</p>"
        show(self.buttons, False)

    def zoom(self, large: bool) -> None:
        (self.result.add_class if large else self.result.remove_class)("studio-large")

    def frame(self, png: bytes, recipe: Recipe) -> tuple[widgets.Box, widgets.Button]:
        """Hang a picture into the gallery; the frame and the button that lies over it."""
        button = widgets.Button(description=f"Show: {recipe.prompt}", tooltip=recipe.prompt)
        framed = part("frame", widgets.HTML(image(png, recipe.prompt)), button)
        self.gallery.children = (framed, *self.gallery.children)
        show(self.shelf, True)
        return framed, button

    def mark(self, shown: widgets.Box) -> None:
        """Mark the frame of the picture in sight."""
        for framed in self.gallery.children:
            (framed.add_class if framed is shown else framed.remove_class)("studio-shown")

    def take_down(self, framed: widgets.Box) -> None:
        """Take a picture out of the gallery."""
        self.gallery.children = tuple(f for f in self.gallery.children if f is not framed)


def quiet(widget: widgets.Widget) -> widgets.Widget:
    """The widget, whose description is for screen readers alone."""
    widget.add_class("studio-quiet")
    return widget


def upload_button(text: str, accept: str) -> widgets.FileUpload:
    """A button that takes a file; style.css writes the tooltip on it, without a count of files."""
    return widgets.FileUpload(description=text, tooltip=text, accept=accept)


def data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def image(png: bytes, alt: str) -> str:
    return f'<img src="{data_url(png)}" alt="{escape(alt)}">'


def recipe_line(recipe: Recipe) -> str:
    """The settings of a picture in one line."""
    line = (
        f"Seed {recipe.seed}, {recipe.steps} steps, guidance {recipe.guidance:g}, "
        f"{recipe.scheduler}, drawn at {recipe.width} x {recipe.height} pixels"
    )
    return line if recipe.strength is None else f"{line}, strength {recipe.strength:g}"


def uploaded(upload: widgets.FileUpload) -> tuple[str, bytes]:
    """Name and bytes of the file in a FileUpload, which is emptied for the next one.

    Emptied, or the same file could not be chosen twice. ipywidgets 7 and 8 differ here.
    """
    files = upload.value
    if isinstance(files, dict):
        name, file = next(iter(files.items()))
    else:
        name, file = files[0]["name"], files[0]
    upload.value = {} if isinstance(files, dict) else ()
    if hasattr(upload, "_counter"):  # ipywidgets 7
        upload._counter = 0
    return name, bytes(file["content"])
