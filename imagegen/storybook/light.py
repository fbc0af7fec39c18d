"""The light of a picture: one palette for each time of day, changed by the weather.

Colours are (r, g, b) in 0..255. Positions everywhere in `storybook` are fractions of the
picture: x from 0 (left) to 1, y from 0 (top) to 1. Built in chapter 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]

SKIES = {  # top, middle, horizon
    "day": ((70, 148, 222), (134, 197, 240), (222, 240, 246)),
    "dawn": ((146, 156, 216), (242, 184, 204), (255, 230, 200)),
    "sunset": ((92, 58, 128), (232, 98, 78), (255, 196, 96)),
    "night": ((12, 18, 50), (24, 38, 90), (56, 80, 140)),
}
# How the light colours the land and the things that stand on it.
LAND = {
    "day": (1, 1, 1),
    "dawn": (1, 0.88, 0.92),
    "sunset": (0.95, 0.7, 0.6),
    "night": (0.36, 0.44, 0.66),
}
THING = {
    "day": (1, 1, 1),
    "dawn": (1, 0.93, 0.95),
    "sunset": (1, 0.87, 0.76),
    "night": (0.72, 0.75, 0.92),
}
BRIGHT = {"day": 1.0, "dawn": 0.95, "sunset": 0.82, "night": 0.42}
# What the weather mixes into the sky, and how much of it.
VEIL = {
    "rain": ((112, 124, 142), 0.6),
    "snow": (((206, 214, 228)), 0.45),
    "fog": ((226, 228, 230), 0.5),
}
COLOUR = {
    "red": (216, 54, 52), "yellow": (248, 204, 56), "green": (64, 164, 84),
    "blue": (52, 104, 206), "purple": (140, 74, 180), "white": (246, 244, 240),
}  # fmt: skip
SNOW = (246, 249, 255)


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """The colour `share` of the way from a to b."""
    return tuple(round(p + (q - p) * share) for p, q in zip(a, b, strict=True))


def times(colour: RGB, tint: tuple[float, float, float]) -> RGB:
    """A colour seen in tinted light."""
    return tuple(min(255, round(c * k)) for c, k in zip(colour, tint, strict=True))


@dataclass(frozen=True)
class Light:
    """The colours of one time of day in one weather."""

    time: str
    weather: str

    @property
    def sky(self) -> tuple[RGB, RGB, RGB]:
        """The sky at its top, in the middle and at the horizon."""
        if self.weather == "clear":
            return SKIES[self.time]
        veil, share = VEIL[self.weather]
        veil = times(veil, (BRIGHT[self.time],) * 3)
        parts = zip(SKIES[self.time], (share, share * 0.8, share * 0.6), strict=True)
        return tuple(mix(colour, veil, k) for colour, k in parts)

    @property
    def dark(self) -> bool:
        """Whether windows are lit."""
        return self.time in ("night", "sunset")

    def land(self, colour: RGB, far: float = 0.0) -> RGB:
        """A piece of land; far runs from 0 (at your feet) to 1 (melted into the horizon)."""
        if self.weather == "snow":
            colour = mix(colour, SNOW, 0.76)
        far = min(1, far + (0.3 if self.weather == "fog" and far else 0))
        return mix(times(colour, LAND[self.time]), self.sky[2], far)

    def wall(self, colour: RGB, far: float = 0.0) -> RGB:
        """Something upright on the land, which snow does not cover."""
        far = min(1, far + (0.3 if self.weather == "fog" and far else 0))
        return mix(times(colour, LAND[self.time]), self.sky[2], far)

    def thing(self, colour: RGB) -> RGB:
        """Part of a subject: near enough to keep its own colour at any time of day."""
        return times(colour, THING[self.time])


class Brush:
    """Draws shapes given in fractions of the picture; an alpha below 1 lets it shine through."""

    def __init__(self, image: Image.Image, light: Light) -> None:
        self.image, self.light = image, light
        self.size = image.width
        self.pen = ImageDraw.Draw(image, "RGBA")

    def _xy(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x * self.size, y * self.size) for x, y in points]

    def polygon(self, points: list[tuple[float, float]], colour: RGB, alpha: float = 1) -> None:
        """A filled polygon through the points."""
        self.pen.polygon(self._xy(points), (*colour, round(255 * alpha)))

    def oval(self, x: float, y: float, rx: float, ry: float, colour: RGB, alpha: float = 1) -> None:
        """A filled ellipse around (x, y) with radii rx and ry."""
        box = [
            (x - rx) * self.size,
            (y - ry) * self.size,
            (x + rx) * self.size,
            (y + ry) * self.size,
        ]
        self.pen.ellipse(box, (*colour, round(255 * alpha)))

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, round_by: float = 0,
            alpha: float = 1) -> None:  # fmt: skip
        """A filled rectangle, its corners rounded by a radius."""
        box = [min(x0, x1) * self.size, y0 * self.size, max(x0, x1) * self.size, y1 * self.size]
        self.pen.rounded_rectangle(box, round_by * self.size, (*colour, round(255 * alpha)))

    def line(
        self, points: list[tuple[float, float]], colour: RGB, width: float, alpha: float = 1
    ) -> None:
        """A line through the points with round joints."""
        width = max(1, round(width * self.size))
        self.pen.line(self._xy(points), (*colour, round(255 * alpha)), width, joint="curve")

    def arc(
        self, x: float, y: float, r: float, start: float, end: float, colour: RGB, width: float
    ) -> None:
        """Part of a circle's outline, from start to end in degrees, clockwise from 3 o'clock."""
        box = [(x - r) * self.size, (y - r) * self.size, (x + r) * self.size, (y + r) * self.size]
        self.pen.arc(box, start, end, colour, max(1, round(width * self.size)))

    def glow(self, x: float, y: float, r: float, colour: RGB, alpha: float) -> None:
        """A soft light: rings that add up towards the middle."""
        for k in range(8):
            self.oval(x, y, r * (1 - k / 8), r * (1 - k / 8), colour, alpha / 8)
