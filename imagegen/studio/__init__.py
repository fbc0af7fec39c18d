"""The painting studio: theme -> description -> settings -> picture, as widgets on any page.

    state     what there is: the pictures with their settings, and the job that runs  (here)
    actions   what a click does; what takes time runs in a thread                     (here)
    view      what is seen: widgets, made once and later only changed                 (view.py)
    client    what is requested of a server, and what its errors mean                 (client.py)

It speaks through the `openai` client alone, so any server of that kind can stand behind it; without
an address it starts the course's own. Built in chapter 12. `python -m imagegen.studio` serves it
as a page of its own.
"""

import os
from base64 import b64decode
from dataclasses import replace
from datetime import datetime
from threading import Lock, Thread

from IPython.display import display
from openai import OpenAI

from imagegen.api import start
from imagegen.recipe import read_recipe, slug, write_new
from imagegen.storybook.describe import REFUSAL
from imagegen.studio.client import (
    PREVIEWS,
    is_ours,
    request_picture,
    request_text,
    sentence,
    server_message,
)
from imagegen.studio.view import View, clear_upload, uploaded


class Studio:
    """The studio on a notebook's page: display(Studio()).

    base_url: a server that speaks OpenAI's API; without it the variable OPENAI_BASE_URL, else the
    course's own server, which the studio starts, and starts again when it has died. api_key: as in
    OpenAI(). folder: where pictures are saved.
    """

    def __init__(self, base_url=None, api_key=None, image_model="storybook-sd",
                 text_model="storybook-grammar", folder="results"):  # fmt: skip
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        self.api_key, self.folder = api_key, folder
        self.image_model, self.text_model = image_model, text_model
        self.server = self.client = None
        self.connecting = Lock()
        self.theme = self.answer = None  # the last theme, and the id of its description
        self.draft = 0  # the number from which a grammar chooses its words
        self.pictures = []  # (png, requested recipe) of each, oldest first
        self.shown = None  # the one in sight
        self.job = None  # what runs now; if it is another, yours was cancelled
        self.view = View(ours=is_ours(image_model))
        self.connect_clicks()

    def _ipython_display_(self):
        display(self.view.page)

    def connect_clicks(self):
        """Which action follows which click."""
        view = self.view
        view.describe.on_click(lambda _: self.describe())
        view.draw.on_click(lambda _: self.draw())
        view.cancel.on_click(lambda _: self.cancel())
        view.reuse.on_click(lambda _: self.use(self.shown[1]))
        view.save.on_click(lambda _: self.save())
        view.upload.observe(lambda _: self.load(), "value")

    # actions

    def describe(self):
        """Ask for a description of the theme."""
        theme = self.view.theme.value.strip()
        if not theme:
            return self.view.say("Pick a theme first, or write one.", wrong=True)
        self.run(self.stream_description, theme)

    def draw(self):
        """Ask for the pictures that the page describes, if they can be drawn."""
        prompt = self.view.text.value.strip()
        if not prompt:
            sentence = "There is no description yet: press Describe, or write one into the box."
            return self.view.say(sentence, wrong=True)
        try:
            recipe, count = self.view.form.recipe(prompt, self.image_model)
        except ValueError as error:
            return self.view.say(str(error), wrong=True)
        self.run(self.stream_pictures, recipe, count)

    def cancel(self):
        """Stop waiting; the thread sees that its job is over and hangs up."""
        if self.job:
            self.job = None
            self.rest("Cancelled.")

    def use(self, recipe):
        """Fill the page with the recipe of a picture."""
        self.view.text.value = recipe.prompt
        self.view.form.use(recipe)
        self.view.say("The settings are in place. Press Draw to draw the picture again.")

    def load(self):
        """Use the recipe that an uploaded picture carries."""
        if not self.view.upload.value:
            return
        name, content = uploaded(self.view.upload)
        clear_upload(self.view.upload)  # or the same file could not be chosen again
        try:
            self.use(read_recipe(content))
        except ValueError as error:
            self.view.say(str(error).replace("The file", name, 1), wrong=True)

    def save(self):
        """Save the picture in sight as the server sent it, with the recipe that it carries."""
        png, recipe = self.shown
        stem = f"{datetime.now():%Y%m%d-%H%M%S}-seed{recipe.seed}-{slug(recipe.prompt)}"
        try:
            path = write_new(self.folder, stem, ".png", png)
        except (OSError, ValueError) as error:
            return self.view.say(f"The picture cannot be saved: {error}", wrong=True)
        self.view.say(f"Saved as {path}.")

    def hang(self, png, recipe):
        """Put a new picture in sight and into the gallery."""
        self.shown = picture = (png, recipe)
        self.pictures.append(picture)
        self.view.frame(png, recipe).on_click(lambda _: self.look(picture))
        self.view.show_picture(png, recipe)

    def look(self, picture):
        """Put a picture of the gallery in sight, with its recipe."""
        if not self.job:
            self.shown = picture
            self.view.show_picture(*picture)

    # work in a thread

    def run(self, work, *given):
        """Begin to work in a thread, unless one works: two clicks make one picture."""
        if self.job:
            return
        self.job = job = object()
        self.view.wait("Asking the server" if self.client else "Starting the server")
        Thread(target=self.work, args=(job, work, *given), daemon=True).start()

    def work(self, job, work, *given):
        """The thread: whatever goes wrong becomes a sentence, and the last picture stays."""
        client, message, wrong = None, "", False
        try:
            client = self.connect()
            message = work(job, client, *given) or ""
        except Exception as error:  # an error in a thread is shown nowhere else
            message, wrong = sentence(error), True
            if not server_message(error):
                self.disconnect(client)
        if self.job is job:
            self.rest(message, wrong)

    def rest(self, message="", wrong=False):
        """Nothing runs any more: show the last picture and the message."""
        self.view.rest()
        if self.shown:
            self.view.show_picture(*self.shown)
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

    def stream_pictures(self, job, client, recipe, count):
        """Draw one picture after the other, each with a seed of its own and with previews."""
        for number in range(count):
            one = replace(recipe, seed=recipe.seed + number)
            doing = f"Drawing {number + 1} of {count}" if count > 1 else "Drawing"
            self.view.tell("Waiting for the model", number / count)
            for event in request_picture(client, one):
                png = b64decode(event.b64_json)
                if self.job is not job:
                    return
                if event.type == "image_generation.completed":
                    self.hang(png, one)
                    break
                self.view.tell(
                    doing, (number + (event.partial_image_index + 1) / (PREVIEWS + 1)) / count
                )
                self.view.show_preview(png)
            else:
                raise ConnectionError("the picture has no end")

    # the server

    def connect(self):
        """The client; the first call, and the first after the server has died, starts the server.

        It does not retry: the reader sees the sentence and decides.
        """
        with self.connecting:
            if not self.client:
                url, key = self.base_url, self.api_key
                if not url:
                    self.server = start()
                    url, key = self.server.url, "not-needed"
                self.client = OpenAI(base_url=url, api_key=key, max_retries=0, timeout=120)
            return self.client

    def disconnect(self, client):
        """Forget a client that got no answer, and with it the studio's own server."""
        with self.connecting:
            if self.client is client:
                if self.server:
                    self.server.stop()
                self.client = self.server = self.theme = self.answer = None
