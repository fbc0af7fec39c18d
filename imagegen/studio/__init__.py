"""The painting studio: theme -> description -> settings -> picture, as widgets on any page.

    state     what there is: the pictures with their recipes, and the job that runs  (here)
    actions   what a click does; what takes time runs in a thread                    (here)
    view      what is seen: widgets, made once and later only changed                (view.py)
    form      a field for each setting, from a recipe and to one                     (form.py)
    brush     a picture to paint a mask on                                           (brush.py)
    gallery   the pictures as files, which outlive the page                          (gallery.py)
    client    what is requested of a server, and what its errors mean                (client.py)

It speaks through the `openai` client alone, so any server of that kind can stand behind it; without
an address it starts the course's own. Built in chapter 12. `python -m imagegen.studio` serves it
as a page of its own.
"""

import io
import os
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from threading import Lock, Thread

from IPython.display import display
from openai import OpenAI
from PIL import Image

from imagegen.api import Server, go_direct, start
from imagegen.masks import to_transparent
from imagegen.pictures import grid, open_picture
from imagegen.recipe import Recipe, fingerprint, read_recipe, write_new
from imagegen.storybook import unknown_words
from imagegen.storybook.describe import REFUSAL
from imagegen.studio.client import (
    PREVIEWS,
    error_sentence,
    is_ours,
    request_picture,
    request_text,
    server_message,
)
from imagegen.studio.gallery import Picture, earlier, keep, put_away
from imagegen.studio.view import View, uploaded

COMPARISONS = {  # what "Compare" draws: four values of one setting
    "guidance": ("guidance", (1, 3, 5, 9)),
    "steps": ("steps", (4, 8, 20, 40)),
    "sampler": ("scheduler", ("DPM-Solver++", "DDIM", "Euler", "Euler a")),
    "seed": ("seed", (0, 1, 2, 3)),  # added to the seed of the form
}


class Studio:
    """The studio on a notebook's page: display(Studio()).

    base_url: a server that speaks OpenAI's API; without it the variable OPENAI_BASE_URL, else the
    course's own server, which the studio starts, and starts again when it has died. api_key: as in
    OpenAI(). folder: where each picture is saved as it is drawn, and from where the gallery comes.
    """

    own: Server | None = None  # the course's own server, one for all studios of this Python
    connecting = Lock()

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        image_model: str = "storybook-sd",
        text_model: str = "storybook-grammar",
        folder: str | Path = "results",
    ) -> None:
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        self.api_key, self.folder = api_key, folder
        self.image_model, self.text_model = image_model, text_model
        self.server = self.client = None
        self.theme = self.answer = None  # the last theme, and the id of its description
        self.draft = 0  # the number from which a grammar chooses its words
        self.pictures: list[Picture] = []  # oldest first
        self.frames = {}  # the frame of each in the gallery
        self.shown: Picture | None = None  # the one in sight
        self.begun: bytes | None = None  # the PNG to begin with, if any
        self.job = None  # what runs now; if it is another, yours was cancelled
        self.view = View(ours=is_ours(image_model))
        self.connect_clicks()
        for picture in earlier(folder):
            self.hang(picture, in_sight=False)

    def _ipython_display_(self) -> None:
        display(self.view.page)

    def connect_clicks(self) -> None:
        """Which action follows which click."""
        view = self.view
        view.describe.on_click(lambda _: self.describe())
        view.on_enter(self.describe)
        view.draw.on_click(lambda _: self.draw())
        view.compare.on_click(lambda _: self.compare())
        view.cancel.on_click(lambda _: self.cancel())
        view.reuse.on_click(lambda _: self.use(self.shown.recipe))
        view.vary.on_click(lambda _: self.vary())
        view.start.on_click(lambda _: self.begin_with(self.shown.png))
        view.forget_start.on_click(lambda _: self.begin_with(None))
        view.delete.on_click(lambda _: self.delete())
        view.upload.observe(lambda _: self.load(), "value")
        view.start_upload.observe(lambda _: self.load_start(), "value")
        view.text.observe(lambda _: self.check_words(), "value")
        self.check_words()

    # actions

    def describe(self) -> None:
        """Ask for a description of the theme."""
        theme = self.view.theme.value.strip()
        if not theme:
            return self.view.say("Pick a theme first, or write one.", wrong=True)
        self.run(self.stream_description, theme)

    def draw(self) -> None:
        """Ask for the pictures that the page describes, if they can be drawn."""
        if wanted := self.wanted():
            recipe, count = wanted
            many = [replace(recipe, seed=recipe.seed + k) for k in range(count)]
            self.run(self.stream_pictures, many)

    def compare(self) -> None:
        """Ask for four pictures that differ in one setting, and show them side by side."""
        if wanted := self.wanted():
            recipe, _ = wanted
            setting, values = COMPARISONS[self.view.compared.value]
            first = recipe.seed if setting == "seed" else None
            values = [value if first is None else first + value for value in values]
            many = [replace(recipe, **{setting: value}) for value in values]
            self.run(self.stream_sheet, many, [f"{setting} {value}" for value in values])

    def wanted(self) -> tuple[Recipe, int] | None:
        """The recipe on the page and how many pictures; None, and a sentence, if it is wrong."""
        prompt = self.view.text.value.strip()
        try:
            if not prompt:
                raise ValueError(
                    "There is no description yet: press Describe, or write one into the box."
                )
            return self.view.form.recipe(prompt, self.image_model, **self.edit())
        except ValueError as error:
            self.view.say(str(error), wrong=True)

    def edit(self) -> dict[str, object]:
        """The source and the mask of an edit, as a recipe names them; nothing without a start."""
        if not self.begun:
            return {}
        source = open_picture(self.begun, multiple=1)
        mask = self.view.brush.painted(source.size)
        return {"source": (fingerprint(source),), "mask": mask and fingerprint(mask)}

    def cancel(self) -> None:
        """Stop waiting; the thread sees that its job is over and hangs up."""
        if self.job:
            self.job = None
            self.rest("Cancelled.")

    def use(self, recipe: Recipe) -> None:
        """Fill the page with the recipe of a picture."""
        self.view.text.value = recipe.prompt
        self.view.form.use(recipe)
        self.view.say("The settings are in place. Press Draw to draw the picture again.")

    def vary(self) -> None:
        """Draw the picture in sight once more, from another seed."""
        self.view.text.value = self.shown.recipe.prompt
        self.view.form.use(self.shown.recipe, keep_seed=False)
        self.draw()

    def load(self) -> None:
        """Use the recipe that an uploaded picture carries."""
        if not self.view.upload.value:
            return
        name, content = uploaded(self.view.upload)
        try:
            self.use(read_recipe(content))
        except ValueError as error:
            self.view.say(str(error).replace("The file", name, 1), wrong=True)

    def load_start(self) -> None:
        """Begin with an uploaded picture."""
        if not self.view.start_upload.value:
            return
        name, content = uploaded(self.view.start_upload)
        try:
            file = io.BytesIO()
            open_picture(content, multiple=1).save(file, "PNG")
            self.begin_with(file.getvalue())
        except ValueError as error:
            self.view.say(str(error).replace("The file", name, 1), wrong=True)

    def begin_with(self, png: bytes | None) -> None:
        """Begin the next pictures with this one; None begins with noise again."""
        self.begun = png
        self.view.show_start(png)
        if png:
            self.view.say("Write what it is to become, paint where if not everywhere, and draw.")

    def check_words(self) -> None:
        """Name the words of the first sentence that our model never learned."""
        first = re.split(r"(?<=[.!?])\s", self.view.text.value.strip())[0]
        self.view.warn(unknown_words(first) if is_ours(self.image_model) else [])

    def hang(self, picture: Picture, in_sight: bool = True) -> None:
        """Put a picture into the gallery, and in sight."""
        self.pictures.append(picture)
        framed, button = self.view.frame(picture.png, picture.recipe)
        self.frames[picture.path] = framed
        button.on_click(lambda _: self.look(picture))
        if in_sight:
            self.see(picture)

    def look(self, picture: Picture) -> None:
        """Put a picture of the gallery in sight, if nothing is being drawn there."""
        if not self.job:
            self.see(picture)

    def see(self, picture: Picture) -> None:
        """Put a picture in sight, with what was drawn, and mark it in the gallery."""
        self.shown = picture
        self.view.show_picture(picture.png, picture.drawn, picture.path.name)
        self.view.mark(self.frames[picture.path])

    def delete(self) -> None:
        """Take the picture in sight out of the gallery; its file moves to the folder `deleted`."""
        if self.job or not self.shown:
            return
        picture = self.shown
        try:
            new = put_away(picture)
        except (OSError, ValueError) as error:
            return self.view.say(f"The picture cannot be moved: {error}", wrong=True)
        self.pictures.remove(picture)
        self.view.take_down(self.frames.pop(picture.path))
        self.shown = self.pictures[-1] if self.pictures else None
        self.rest(f"Moved to {new}.")

    # work in a thread

    def run(self, work, *given):
        """Begin to work in a thread, unless one works: two clicks make one picture."""
        if self.job:
            return
        self.job = job = object()
        self.view.wait("Waiting for the server" if self.client else "Starting the server")
        Thread(target=self.work, args=(job, work, *given), daemon=True).start()

    def work(self, job, work, *given):
        """The thread: whatever goes wrong becomes a sentence, and the last picture stays."""
        client, message, wrong = None, "", False
        try:
            client = self.connect()
            message = work(job, client, *given) or ""
        except Exception as error:  # an error in a thread is shown nowhere else
            message, wrong = error_sentence(error), True
            if not server_message(error):
                self.disconnect(client)
        if self.job is job:
            self.rest(message, wrong)

    def rest(self, message: str = "", wrong: bool = False) -> None:
        """Nothing runs any more: show the last picture and the message."""
        self.view.rest()
        if self.shown:
            self.see(self.shown)  # where a preview stands
        self.view.say(message, wrong)
        self.job = None

    def stream_description(self, job, client, theme):
        """Show the description as it comes; a refusal, or a fault, leaves the text as it was."""
        before, text = self.view.text.value, ""
        if theme == self.theme:  # the same again: another description, not a change of the last
            self.answer, self.draft = None, self.draft + 1
        self.view.tell("Describing")
        try:
            for event in request_text(client, self.text_model, theme, self.answer, self.draft):
                if self.job is not job:
                    return
                if event.type == "response.output_text.delta":
                    text += event.delta
                    if not REFUSAL.startswith(text[: len(REFUSAL)]):
                        self.view.text.value = text
                if event.type == "response.completed":
                    if text.startswith(REFUSAL):
                        return text
                    self.theme, self.answer = theme, event.response.id
                    return
            raise ConnectionError("the text has no end")
        except Exception:
            self.view.text.value = before
            raise

    def stream_pictures(self, job, client, recipes: list[Recipe]) -> str | None:
        """Draw one picture after the other, each with previews, and keep each as a file."""
        source, mask = self.begun, None
        if recipes[0].mask:
            picture = open_picture(source, multiple=1)
            file = io.BytesIO()
            to_transparent(picture, self.view.brush.painted(picture.size)).save(file, "PNG")
            mask = file.getvalue()
        for number, recipe in enumerate(recipes):
            count = len(recipes)
            doing = f"Drawing {number + 1} of {count}" if count > 1 else "Drawing"
            self.view.tell("Waiting for the model", number / count)
            for event in request_picture(client, recipe, source, mask):
                png = b64decode(event.b64_json)
                if self.job is not job:
                    return None
                if event.type.endswith(".completed"):
                    self.hang(keep(self.folder, png, recipe))
                    break
                self.view.tell(
                    doing, (number + (event.partial_image_index + 1) / (PREVIEWS + 1)) / count
                )
                self.view.show_preview(png)
            else:
                raise ConnectionError("the picture has no end")
        return f"Saved as {self.shown.path}."

    def stream_sheet(self, job, client, recipes: list[Recipe], titles: list[str]) -> str | None:
        """Draw pictures, and put a sheet of them in sight and into the folder."""
        before = len(self.pictures)
        if not self.stream_pictures(job, client, recipes):
            return None
        images = [Image.open(io.BytesIO(picture.png)) for picture in self.pictures[before:]]
        file = io.BytesIO()
        grid(images, titles=titles, cols=2).save(file, "PNG")
        path = write_new(self.folder, self.shown.path.stem + "-compared", ".png", file.getvalue())
        self.rest(f"Saved as {path}, and each picture in the gallery.")
        self.view.show_sheet(file.getvalue(), "; ".join(titles))
        return None

    # the server

    def connect(self):
        """The client; the first call, and the first after the server has died, starts the server.

        It does not retry: the reader sees the sentence and decides.
        """
        with self.connecting:
            if not self.client:
                url, key = self.base_url, self.api_key
                if not url:
                    if not Studio.own or Studio.own.process.poll() is not None:
                        Studio.own = start()
                    self.server = Studio.own
                    url, key = self.server.url, "not-needed"
                go_direct()
                self.client = OpenAI(base_url=url, api_key=key, max_retries=0, timeout=120)
            return self.client

    def disconnect(self, client):
        """Forget a client that got no answer, and with it the studio's own server."""
        with self.connecting:
            if self.client is client:
                if self.server:
                    self.server.stop()
                self.client = self.server = self.theme = self.answer = None
