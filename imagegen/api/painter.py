"""The queue: many may ask, one paints. A single thread owns the model and draws job after job.

A diffusers pipeline counts its steps in itself, so two requests must never run in it at once. Who
leaves, in the queue or in the middle of a picture, frees the place and stops the drawing. This is
chapter 11's answer to what happens behind an API. The model is loaded by the thread, so
that the server answers before it is there.
"""

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from imagegen.api.errors import ApiError, broken


@dataclass(frozen=True)
class Drawing:
    """What to draw: one picture for each seed, each as it would be drawn alone."""

    prompt: str
    seeds: tuple[int, ...]
    size: tuple[int, int]  # (width, height) in pixels, multiples of 8
    steps: int
    guidance: float
    partial_images: int = 0  # previews of each picture
    starts: tuple[Image.Image, ...] = ()  # for an edit: the pictures to begin with, of that size
    mask: Image.Image | None = None  # white where the edit may draw
    strength: float | None = None


class Job:
    """A drawing in the queue. Its events come from the painter's thread; leave() ends it."""

    def __init__(self, drawing: Drawing, painter: "Painter"):
        self.drawing = drawing
        self.painter = painter
        self.left = False
        self.loop = asyncio.get_running_loop()
        self.queue = asyncio.Queue()

    def tell(self, *event) -> None:
        """From the painter's thread: ("partial" | "picture", number, image, recipe), or an end."""
        self.loop.call_soon_threadsafe(self.queue.put_nowait, event)

    async def events(self):
        """Each event as it happens; ApiError 500 if the drawing failed."""
        while True:
            kind, *rest = await self.queue.get()
            if kind == "end":
                return
            if kind == "failed":
                raise broken(rest[0])
            yield kind, *rest

    def leave(self) -> None:
        """Free the place, whether done, waiting or being drawn; again does nothing."""
        self.left = True
        self.painter.jobs.discard(self)


class Painter:
    """The thread that draws, and at most `places` jobs that wait for it or are being drawn.

    load: gives the hand that draws, draw.Hand; called by the thread, so that nobody waits for it.
    """

    def __init__(self, places: int, load: Callable):
        self.places = places
        self.load = load
        self.jobs = set()
        self.waiting = queue.SimpleQueue()
        self.seconds = 1.0  # that a job took, lately
        threading.Thread(target=self.work, name="painter", daemon=True).start()

    def admit(self, drawing: Drawing) -> Job:
        """A place in the queue; ApiError 429 if there is none."""
        if len(self.jobs) >= self.places:
            wait = math.ceil(self.seconds)
            raise ApiError(
                f"Rate limit reached: all {self.places} places in the queue are taken. "
                f"Please try again in {wait} s.",
                code="rate_limit_exceeded",
                status=429,
                type="requests",
                retry_after=wait,
            )
        job = Job(drawing, self)
        self.jobs.add(job)
        self.waiting.put(job)
        return job

    def work(self) -> None:
        """Load the model, then draw for ever; what goes wrong is told to the job it befell."""
        hand, trouble = None, None
        try:
            hand = self.load()
        except Exception as error:  # without a model, each job is told why
            trouble = error
        while True:
            job = self.waiting.get()
            if job.left:
                continue
            start = time.monotonic()
            try:
                if trouble:
                    raise trouble
                for number, seed in enumerate(job.drawing.seeds):
                    hand.draw(job, number, seed)
                job.tell("end")
                self.seconds += 0.3 * (time.monotonic() - start - self.seconds)
            except Exception as error:  # one picture's trouble must not end the thread
                if not job.left:
                    job.tell("failed", error)


def enlarge(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture in the size asked for; nothing is added to what was drawn."""
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
