"""The queue: many may ask, one thread draws. It owns the model and draws job after job.

A diffusers pipeline counts its steps in itself, so two requests must never run in it at once. The
pictures of one request are drawn together as a batch. A client that hangs up, in the queue or in
the middle of a picture, frees its place and stops its drawing. This is chapter 11's answer to what
happens behind an API. The thread loads the model, so that the server answers before it is there.
"""

import asyncio
import math
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from PIL import Image

from imagegen.api.errors import ApiError, broken
from imagegen.recipe import Recipe


@dataclass(frozen=True)
class Drawing:
    """What to draw: a recipe for each picture, and for an edit the pictures to begin with.

    size: (width, height) of the finished pictures. sources, mask: as draw_recipes() takes them.
    previews: how many previews of each picture.
    """

    recipes: tuple[Recipe, ...]
    size: tuple[int, int]
    previews: int = 0
    sources: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None


class Left(Exception):
    """The client has hung up, so nobody waits for the drawing."""


class Job:
    """A place in the queue. begin() starts its drawing, events() tells of it, leave() ends it."""

    def __init__(self, worker: "Worker"):
        self.worker = worker
        self.left = False
        self.streamed = False  # whether the answer is a stream, which outlives the request's code
        self.loop = asyncio.get_running_loop()
        self.queue = asyncio.Queue()

    def begin(self, drawing: Drawing) -> None:
        """Put what is to be drawn in the queue."""
        self.drawing = drawing
        self.worker.waiting.put(self)

    def send(self, *event) -> None:
        """From the worker's thread: an event for events(), or its end."""
        self.loop.call_soon_threadsafe(self.queue.put_nowait, event)

    def check(self) -> None:
        """From the worker's thread: raise Left if the client has hung up."""
        if self.left:
            raise Left

    async def events(self) -> AsyncIterator[tuple[str, int, Image.Image]]:
        """("preview", its number, image) and ("picture", its number, image) as they come.

        ApiError 500 if the drawing failed.
        """
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
        self.worker.jobs.discard(self)


class Worker:
    """The thread that draws, and at most `places` jobs that wait for it or are being drawn.

    load: gives the function that draws, draw_recipes() of a pipeline; called in the thread.
    """

    def __init__(self, places: int, load: Callable[[], Callable]):
        self.places = places
        self.load = load
        self.jobs = set()
        self.waiting = queue.SimpleQueue()
        self.seconds = 1.0  # that a job took, lately
        threading.Thread(target=self.work, name="worker", daemon=True).start()

    def admit(self) -> Job:
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
        job = Job(self)
        self.jobs.add(job)
        return job

    def work(self) -> None:
        """Load the model, then draw for ever; a job that goes wrong gets the error."""
        draw, trouble = None, None
        try:
            draw = self.load()
        except Exception as error:  # without a model, each job gets the reason
            trouble = error
        while True:
            job = self.waiting.get()
            start = time.monotonic()
            try:
                if trouble:
                    raise trouble
                job.check()
                self.draw(draw, job)
                job.send("end")
                self.seconds += 0.3 * (time.monotonic() - start - self.seconds)
            except Left:
                pass
            except Exception as error:  # one picture's trouble must not end the thread
                if not job.left:
                    job.send("failed", error)
            del job  # or its pictures would stay until the next one comes

    def draw(self, draw: Callable, job: Job) -> None:
        """Draw a job's pictures, sending each as it gets ready."""
        drawing = job.drawing
        pictures = draw(
            drawing.recipes,
            sources=drawing.sources,
            mask=drawing.mask,
            size=drawing.size,
            on_step=job.check,
            previews=drawing.previews,
            on_preview=lambda number, k, image: job.send("preview", k, image),
        )
        for number, image, _ in pictures:
            job.send("picture", number, image)
