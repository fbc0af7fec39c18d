"""The subjects of Storybook, each a few flat shapes in its colour, darker on one side.

Every painter takes the brush, a random generator, the x of the subject's middle and its
colour, already lit. Subjects stand on y = 0.9 and are about half the picture tall.
Built in chapter 1.
"""

from __future__ import annotations

import math
import random

from imagegen.storybook.light import SNOW, Brush, mix

DARK, PALE = (28, 24, 44), (255, 252, 240)


class Stage:
    """Shapes around a subject's foot: x to its front, y upwards, in units of its size."""

    def __init__(
        self, b: Brush, rng: random.Random, x: float, size: float, foot: float = 0.9
    ) -> None:
        self.b, self.x, self.y, self.s = (
            b,
            x,
            foot + rng.uniform(-0.015, 0.015),
            size * rng.uniform(0.92, 1.08),
        )
        self.face = rng.choice((-1, 1))

    def at(self, u: float, v: float) -> tuple[float, float]:
        """Where the point (u, v) of the subject lies in the picture."""
        return self.x + self.face * u * self.s, self.y - v * self.s

    def polygon(self, points, colour) -> None:
        """A polygon in the subject's units."""
        self.b.polygon([self.at(u, v) for u, v in points], colour)

    def oval(self, u: float, v: float, ru: float, rv: float, colour, alpha: float = 1) -> None:
        """An ellipse in the subject's units."""
        self.b.oval(*self.at(u, v), ru * self.s, rv * self.s, colour, alpha)

    def box(self, u0: float, v0: float, u1: float, v1: float, colour, round_by: float = 0) -> None:
        """A rectangle from (u0, v0) below to (u1, v1) above."""
        (x0, y0), (x1, y1) = self.at(u0, v0), self.at(u1, v1)
        self.b.box(x0, y1, x1, y0, colour, round_by * self.s)

    def line(self, points, colour, width: float) -> None:
        """A line in the subject's units."""
        self.b.line([self.at(u, v) for u, v in points], colour, width * self.s)

    def shadow(self, w: float) -> None:
        """A soft shadow on the ground."""
        self.b.oval(self.x, self.y, w * self.s, 0.05 * self.s, DARK, 0.28)


def _shade(colour, share: float = 0.22):
    return mix(colour, DARK, share)


def _lit(b: Brush):
    return (255, 216, 112) if b.light.dark else b.light.thing((120, 150, 190))


def cottage(b: Brush, rng: random.Random, x: float, colour) -> None:
    """Coloured walls under a broad roof, a smoking chimney, a door."""
    s = Stage(b, rng, x, 0.46)
    s.shadow(0.62)
    roof = b.light.thing((122, 74, 58)) if b.light.weather != "snow" else b.light.thing(SNOW)
    s.box(0.2, 0.6, 0.34, 1.02, b.light.thing((150, 96, 80)))
    for k in range(3):
        s.oval(
            0.3 + 0.1 * k,
            1.14 + 0.13 * k,
            0.07 + 0.02 * k,
            0.06 + 0.02 * k,
            b.light.thing((236, 236, 240)),
            0.75,
        )
    s.box(-0.5, 0, 0.5, 0.52, colour)
    s.box(0.22, 0, 0.5, 0.52, _shade(colour, 0.14))
    s.polygon([(-0.64, 0.48), (-0.36, 0.92), (0.36, 0.92), (0.64, 0.48)], roof)
    s.polygon([(-0.64, 0.48), (-0.6, 0.54), (0.6, 0.54), (0.64, 0.48)], _shade(roof))
    s.box(-0.1, 0, 0.12, 0.36, b.light.thing((104, 66, 46)), 0.04)
    for u in (-0.32, 0.33):
        s.box(
            u - 0.11,
            0.16,
            u + 0.11,
            0.38,
            PALE if not b.light.dark else b.light.thing((120, 84, 60)),
        )
        s.box(u - 0.08, 0.19, u + 0.08, 0.35, _lit(b))


def castle(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A keep between two round towers with pointed roofs and flags."""
    s = Stage(b, rng, x, 0.56)
    s.shadow(0.56)
    dark, roof = (
        _shade(colour, 0.16),
        b.light.thing((70, 74, 104)) if b.light.weather != "snow" else b.light.thing(SNOW),
    )
    s.box(-0.34, 0, 0.34, 0.52, colour)
    for k in range(5):
        s.box(-0.34 + 0.145 * k, 0.5, -0.25 + 0.145 * k, 0.6, colour)
    s.box(-0.13, 0.5, 0.13, 0.86, dark)
    s.polygon([(-0.18, 0.86), (0, 1.16), (0.18, 0.86)], roof)
    for u in (-0.38, 0.38):
        s.box(u - 0.12, 0, u + 0.12, 0.72, colour)
        s.box(u + 0.02, 0, u + 0.12, 0.72, dark)
        s.polygon([(u - 0.17, 0.72), (u, 1.04), (u + 0.17, 0.72)], roof)
        s.box(u - 0.05, 0.44, u + 0.03, 0.58, _lit(b), 0.03)
    s.box(-0.04, 0.62, 0.04, 0.76, _lit(b), 0.03)
    s.box(-0.11, 0, 0.11, 0.26, b.light.thing((66, 44, 42)), 0.08)


def lighthouse(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A tapering tower with two pale bands and a lamp that shines in the dark."""
    s = Stage(b, rng, x, 0.66)
    s.shadow(0.3)

    def half(v: float) -> float:
        return 0.19 - 0.09 * v

    if b.light.time in ("night", "sunset"):
        for side in (-1, 1):
            b.polygon(
                [s.at(0, 0.97), s.at(side * 1.0, 1.1), s.at(side * 1.0, 0.84)],
                (255, 238, 150),
                0.35,
            )
    s.polygon([(-0.19, 0), (-half(0.86), 0.86), (half(0.86), 0.86), (0.19, 0)], colour)
    band = (
        b.light.thing((250, 246, 236))
        if colour[2] < 190 or colour[0] < 160
        else b.light.thing((120, 124, 140))
    )
    for v in (0.2, 0.54):
        top = v + 0.15
        s.polygon([(-half(v), v), (-half(top), top), (half(top), top), (half(v), v)], band)
    b.polygon([s.at(0.06, 0), s.at(0.045, 0.86), s.at(half(0.86), 0.86), s.at(0.19, 0)], DARK, 0.16)
    s.box(-0.16, 0.84, 0.16, 0.89, b.light.thing((60, 62, 84)))
    s.box(-0.08, 0.89, 0.08, 1.04, (255, 236, 140))
    s.polygon([(-0.13, 1.04), (0, 1.18), (0.13, 1.04)], b.light.thing((170, 60, 56)))
    s.box(-0.06, 0, 0.06, 0.13, b.light.thing((78, 54, 50)), 0.03)


def tree(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A trunk and a crown of five round tufts."""
    s = Stage(b, rng, x, 0.6)
    s.shadow(0.36)
    trunk = b.light.thing((116, 78, 54))
    s.polygon([(-0.1, 0), (-0.05, 0.5), (0.05, 0.5), (0.1, 0)], trunk)
    s.line([(0, 0.34), (0.18, 0.56)], trunk, 0.05)
    tufts = [
        (-0.26, 0.62, 0.22),
        (0.27, 0.6, 0.22),
        (-0.13, 0.86, 0.22),
        (0.16, 0.86, 0.21),
        (0, 0.7, 0.24),
    ]
    for u, v, r in tufts:
        s.oval(u + rng.uniform(-0.02, 0.02), v - 0.03, r, r * 0.95, _shade(colour, 0.2))
    for u, v, r in tufts:
        s.oval(u - 0.03, v + 0.03, r * 0.82, r * 0.76, colour)
    if b.light.weather == "snow":
        for u, v, r in tufts[2:4]:
            s.oval(u, v + r * 0.72, r * 0.6, r * 0.26, b.light.thing(SNOW))


def boat(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A sailing boat on its own stretch of water."""
    s = Stage(b, rng, x, 0.52, foot=0.86)
    water = b.light.thing((64, 150, 204))
    b.oval(s.x, s.y + 0.02, 0.42, 0.085, _shade(water, 0.12))
    b.oval(s.x, s.y + 0.012, 0.40, 0.075, water)
    for _ in range(4):
        u, y = rng.uniform(-0.3, 0.3), s.y + rng.uniform(0.02, 0.065)
        b.box(s.x + u - 0.05, y, s.x + u + 0.05, y + 0.009, mix(water, PALE, 0.5))
    s.line([(0, 0.1), (0, 1.08)], b.light.thing((96, 64, 44)), 0.045)
    s.polygon([(0.04, 1.04), (0.04, 0.24), (0.5, 0.24)], colour)
    s.polygon([(-0.05, 0.9), (-0.05, 0.24), (-0.36, 0.24)], _shade(colour, 0.15))
    s.polygon(
        [(-0.5, 0.19), (0.6, 0.19), (0.38, -0.04), (-0.36, -0.04)], b.light.thing((112, 66, 46))
    )
    s.polygon(
        [(-0.5, 0.19), (0.6, 0.19), (0.57, 0.13), (-0.47, 0.13)], b.light.thing((236, 214, 176))
    )


def cat(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A sitting cat that looks at you, its tail curled up."""
    s = Stage(b, rng, x, 0.5, foot=0.9)
    s.shadow(0.34)
    dark = _shade(colour, 0.2)
    tail = [(0.2, 0.08), (0.42, 0.1), (0.5, 0.28), (0.44, 0.46), (0.5, 0.58)]
    s.line(tail, dark, 0.1)
    s.oval(0.5, 0.58, 0.05, 0.05, dark)
    s.oval(0, 0.26, 0.28, 0.3, colour)
    s.oval(0.13, 0.22, 0.14, 0.22, dark)
    s.oval(-0.02, 0.25, 0.13, 0.2, mix(colour, PALE, 0.55))
    for u in (-0.13, 0.09):
        s.oval(u, 0.04, 0.09, 0.06, mix(colour, PALE, 0.25))
    _cat_head(s, 0, 0.66, 0.27, colour)


def _cat_head(s: Stage, u: float, v: float, r: float, colour) -> None:
    dark, light = _shade(colour, 0.2), s.b.light
    for side in (-1, 1):
        ear = [
            (u + side * r * 0.95, v + r * 0.2),
            (u + side * r * 0.86, v + r * 1.35),
            (u + side * r * 0.12, v + r * 0.7),
        ]
        s.polygon(ear, colour)
        s.polygon(
            [
                (p * 0.55 + (u + side * r * 0.62) * 0.45, q * 0.55 + (v + r * 0.72) * 0.45)
                for p, q in ear
            ],
            light.thing((240, 160, 160)),
        )
    s.oval(u, v, r * 1.08, r * 0.92, colour)
    s.oval(u, v - r * 0.36, r * 0.5, r * 0.34, mix(colour, PALE, 0.6))
    for side in (-1, 1):
        s.oval(u + side * r * 0.44, v + r * 0.12, r * 0.24, r * 0.27, (250, 236, 130))
        s.oval(u + side * r * 0.42, v + r * 0.12, r * 0.12, r * 0.24, DARK)
        s.line(
            [(u + side * r * 0.5, v - r * 0.34), (u + side * r * 1.2, v - r * 0.26)], dark, r * 0.07
        )
    s.polygon(
        [(u - r * 0.13, v - r * 0.12), (u + r * 0.13, v - r * 0.12), (u, v - r * 0.3)],
        light.thing((226, 110, 120)),
    )


def robot(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A friendly machine: box body, lamp eyes, antenna."""
    s = Stage(b, rng, x, 0.5)
    s.shadow(0.36)
    metal = b.light.thing((150, 158, 176))
    for u in (-0.16, 0.16):
        s.box(u - 0.07, 0, u + 0.07, 0.26, metal)
        s.box(u - 0.11, 0, u + 0.11, 0.08, _shade(metal, 0.4), 0.03)
    for side in (-1, 1):
        up = side * s.face > 0
        s.line(
            [
                (side * 0.3, 0.52),
                (side * 0.44, 0.4 if not up else 0.62),
                (side * 0.42, 0.24 if not up else 0.8),
            ],
            metal,
            0.1,
        )
        s.oval(side * 0.42, 0.22 if not up else 0.83, 0.075, 0.075, _shade(metal, 0.35))
    s.box(-0.3, 0.22, 0.3, 0.62, colour, 0.06)
    s.box(0.14, 0.22, 0.3, 0.62, _shade(colour, 0.16), 0.06)
    s.box(-0.17, 0.32, 0.17, 0.5, _shade(metal, 0.45), 0.03)
    for k, dot in enumerate(((250, 90, 80), (250, 210, 80), (90, 220, 120))):
        s.oval(-0.1 + 0.1 * k, 0.41, 0.036, 0.036, dot)
    _robot_head(s, 0, 0.82, 0.24, colour)


def _robot_head(s: Stage, u: float, v: float, r: float, colour) -> None:
    metal = s.b.light.thing((150, 158, 176))
    s.box(u - r * 0.3, v - r * 1.0, u + r * 0.3, v - r * 0.6, metal)
    s.line([(u, v + r * 0.7), (u, v + r * 1.35)], metal, r * 0.14)
    s.oval(u, v + r * 1.4, r * 0.2, r * 0.2, (255, 110, 90))
    for side in (-1, 1):
        s.box(
            u + side * r * 1.0,
            v - r * 0.25,
            u + side * r * 1.22,
            v + r * 0.25,
            _shade(metal, 0.25),
            r * 0.08,
        )
    s.box(u - r * 1.05, v - r * 0.72, u + r * 1.05, v + r * 0.78, colour, r * 0.3)
    s.box(u - r * 0.82, v - r * 0.28, u + r * 0.82, v + r * 0.5, DARK, r * 0.22)
    for side in (-1, 1):
        s.oval(u + side * r * 0.42, v + r * 0.12, r * 0.24, r * 0.24, (110, 244, 255))
    s.box(u - r * 0.4, v - r * 0.58, u + r * 0.4, v - r * 0.42, _shade(colour, 0.5), r * 0.05)


def knight(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A knight with a plumed helmet, sword and shield in his colour."""
    s = Stage(b, rng, x, 0.54)
    s.shadow(0.34)
    steel = b.light.thing((172, 180, 198))
    s.line([(0.36, 0.2), (0.36, 0.98)], b.light.thing((226, 232, 242)), 0.06)
    s.line([(0.25, 0.38), (0.47, 0.38)], b.light.thing((206, 160, 70)), 0.05)
    for u in (-0.12, 0.12):
        s.box(u - 0.08, 0, u + 0.08, 0.3, _shade(steel, 0.2))
        s.box(u - 0.1, 0, u + 0.12, 0.07, _shade(steel, 0.45), 0.03)
    s.line([(0.22, 0.6), (0.36, 0.34)], steel, 0.12)
    s.polygon([(-0.26, 0.18), (-0.2, 0.66), (0.2, 0.66), (0.26, 0.18)], colour)
    s.polygon([(0.05, 0.18), (0.08, 0.66), (0.2, 0.66), (0.26, 0.18)], _shade(colour, 0.18))
    s.box(-0.235, 0.34, 0.235, 0.4, b.light.thing((96, 66, 48)))
    s.polygon(
        [(-0.48, 0.58), (-0.12, 0.58), (-0.12, 0.36), (-0.3, 0.14), (-0.48, 0.36)],
        b.light.thing((226, 200, 120)),
    )
    s.polygon(
        [(-0.44, 0.54), (-0.16, 0.54), (-0.16, 0.37), (-0.3, 0.2), (-0.44, 0.37)],
        _shade(colour, 0.08),
    )
    _helmet(s, 0, 0.8, 0.18, colour)


def _helmet(s: Stage, u: float, v: float, r: float, colour) -> None:
    steel = s.b.light.thing((172, 180, 198))
    for k, share in ((6, 0.2), (5, 0.1), (4, 0.2), (3, 0.1), (2, 0.0), (1, 0.1), (0, 0.0)):
        angle = 1.35 + 0.29 * k
        feather = (
            u - r * 0.15 + r * 1.25 * math.cos(angle),
            v + r * 0.25 + r * 1.25 * math.sin(angle),
        )
        s.oval(*feather, r * 0.42, r * 0.42, _shade(colour, share))
    s.oval(u, v + r * 0.2, r * 1.02, r * 0.92, steel)
    s.box(u - r * 1.02, v - r * 0.85, u + r * 1.02, v + r * 0.2, steel, r * 0.25)
    s.box(u + r * 0.3, v - r * 0.8, u + r * 1.02, v + r * 0.5, _shade(steel, 0.18), r * 0.2)
    s.box(u - r * 0.72, v - r * 0.02, u + r * 0.9, v + r * 0.26, DARK, r * 0.08)
    s.box(u - r * 0.06, v - r * 0.85, u + r * 0.12, v + r * 0.9, mix(steel, PALE, 0.5))
    for k in range(3):
        s.box(u + r * (0.32 + 0.2 * k), v - r * 0.55, u + r * (0.4 + 0.2 * k), v - r * 0.25, DARK)


def dragon(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A dragon in flight with spread wings, horns and a spiked tail."""
    s = Stage(b, rng, x, 0.46, foot=rng.uniform(0.54, 0.64))
    dark, belly = _shade(colour, 0.28), mix(colour, (255, 232, 170), 0.55)
    beat = rng.uniform(-0.1, 0.1)
    s.polygon(
        [
            (-0.02, 0.3),
            (0.2, 0.98 + beat),
            (-0.16, 0.86 + beat),
            (-0.36, 0.92 + beat),
            (-0.34, 0.3),
        ],
        _shade(colour, 0.4),
    )
    s.line([(-0.3, 0.16), (-0.52, 0.06), (-0.72, 0.16), (-0.86, 0.34)], colour, 0.11)
    s.polygon([(-0.78, 0.32), (-0.98, 0.36), (-0.86, 0.56), (-0.76, 0.42)], dark)
    s.line([(0.26, 0.22), (0.44, 0.34), (0.5, 0.54)], colour, 0.16)
    s.oval(0, 0.18, 0.36, 0.18, colour)
    s.oval(0.04, 0.11, 0.28, 0.1, belly)
    for u in (-0.14, 0.14):
        s.line([(u, 0.06), (u - 0.05, -0.08)], dark, 0.07)
    s.polygon(
        [
            (0.08, 0.26),
            (-0.04, 1.02 + beat),
            (-0.26, 0.78 + beat),
            (-0.46, 0.82 + beat),
            (-0.56, 0.58 + beat),
            (-0.72, 0.54 + beat),
            (-0.24, 0.22),
        ],
        dark,
    )
    s.polygon(
        [
            (0.03, 0.3),
            (-0.06, 0.92 + beat),
            (-0.24, 0.7 + beat),
            (-0.42, 0.74 + beat),
            (-0.22, 0.28),
        ],
        mix(colour, PALE, 0.2),
    )
    s.oval(0.56, 0.62, 0.16, 0.12, colour)
    s.polygon([(0.58, 0.7), (0.84, 0.62), (0.82, 0.53), (0.56, 0.51)], colour)
    s.polygon([(0.46, 0.68), (0.36, 0.86), (0.54, 0.72)], belly)
    s.polygon([(0.56, 0.72), (0.5, 0.9), (0.64, 0.72)], belly)
    s.oval(0.6, 0.65, 0.042, 0.042, (255, 240, 120))
    s.oval(0.61, 0.65, 0.02, 0.03, DARK)


def waterfall(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A cliff from which white water falls into a pool."""
    s = Stage(b, rng, x, 0.6, foot=0.88)
    rock, water = b.light.land((112, 104, 104)), b.light.thing((140, 206, 240))
    cliff = [
        (-0.62, 0),
        (-0.52, 0.7),
        (-0.42, 1.02),
        (-0.1, 1.06),
        (0.16, 1.04),
        (0.44, 1.0),
        (0.5, 0.62),
        (0.64, 0),
    ]
    s.polygon(cliff, rock)
    for _ in range(7):
        u, v, r = rng.uniform(-0.42, 0.42), rng.uniform(0.1, 0.85), rng.uniform(0.05, 0.1)
        s.polygon(
            [(u - r, v), (u, v + r), (u + r, v + r * 0.3), (u + r * 0.4, v - r * 0.5)],
            mix(rock, DARK, 0.2),
        )
    s.oval(-0.3, 1.02, 0.22, 0.07, b.light.land((74, 146, 80)))
    s.oval(0.32, 1.0, 0.2, 0.07, b.light.land((60, 130, 76)))
    b.oval(s.x, s.y + 0.02, 0.4, 0.075, b.light.thing((64, 150, 204)))
    s.polygon([(-0.17, 0), (-0.13, 1.08), (0.13, 1.08), (0.19, 0)], water)
    for u in (-0.1, 0.0, 0.1):
        top, low = rng.uniform(0.85, 1.05), rng.uniform(0.0, 0.2)
        s.line([(u, top), (u * 1.25, low)], b.light.thing((244, 252, 255)), 0.045)
    for u in (-0.2, -0.07, 0.07, 0.21):
        s.oval(u, rng.uniform(-0.03, 0.03), 0.12, 0.075, b.light.thing((240, 250, 255)), 0.85)


def space_station(b: Brush, rng: random.Random, x: float, colour) -> None:
    """A wheel around a hub, with a mast of solar panels."""
    s = Stage(b, rng, x, 0.42, foot=rng.uniform(0.5, 0.58))
    metal, panel = (206, 212, 226), (52, 84, 186)
    tilt = rng.uniform(-0.12, 0.12)
    s.line([(-0.98, 0.3 - tilt), (0.98, 0.3 + tilt)], _shade(metal, 0.3), 0.06)
    for side in (-1, 1):
        for k in (0.62, 0.88):
            u, v = side * k, 0.3 + side * k * tilt
            s.box(u - 0.1, v - 0.3, u + 0.1, v + 0.3, panel)
            s.box(u - 0.1, v - 0.02, u + 0.1, v + 0.02, (190, 206, 240))
            s.line([(u, v - 0.3), (u, v + 0.3)], (150, 176, 240), 0.025)
    s.oval(0, 0.3, 0.46, 0.46, metal)
    s.oval(0, 0.3, 0.33, 0.33, (16, 16, 46))
    for angle in (0.4, 1.97, 3.54, 5.11):
        s.line([(0, 0.3), (0.4 * math.cos(angle), 0.3 + 0.4 * math.sin(angle))], metal, 0.07)
    s.oval(0, 0.3, 0.17, 0.17, _shade(metal, 0.12))
    s.oval(0, 0.3, 0.09, 0.09, (255, 216, 120))
    for k in range(8):
        angle = k * math.pi / 4 + tilt
        s.oval(
            0.395 * math.cos(angle), 0.3 + 0.395 * math.sin(angle), 0.035, 0.035, (255, 222, 130)
        )


def portrait_of_cat(b: Brush, rng: random.Random, x: float, colour) -> None:
    """Head and shoulders of a cat with a collar."""
    s = Stage(b, rng, 0.5 + (x - 0.5) * 0.3, 0.9, foot=0.93)
    s.oval(0, 0.02, 0.34, 0.26, _shade(colour, 0.12))
    s.oval(0, 0.0, 0.16, 0.2, mix(colour, PALE, 0.5))
    s.box(-0.2, 0.2, 0.2, 0.26, b.light.thing((70, 60, 90)), 0.03)
    s.oval(0, 0.18, 0.05, 0.05, (255, 212, 90))
    _cat_head(s, 0, 0.48, 0.27, colour)


def portrait_of_robot(b: Brush, rng: random.Random, x: float, colour) -> None:
    """Head and shoulders of a robot."""
    s = Stage(b, rng, 0.5 + (x - 0.5) * 0.3, 0.9, foot=0.93)
    s.box(-0.36, 0, 0.36, 0.22, _shade(colour, 0.12), 0.08)
    s.box(-0.14, 0.02, 0.14, 0.12, _shade(b.light.thing((150, 158, 176)), 0.45), 0.02)
    _robot_head(s, 0, 0.46, 0.24, colour)


def portrait_of_knight(b: Brush, rng: random.Random, x: float, colour) -> None:
    """Head and shoulders of a knight, his plume behind him."""
    s = Stage(b, rng, 0.5 + (x - 0.5) * 0.3, 0.9, foot=0.93)
    steel = b.light.thing((172, 180, 198))
    s.oval(-0.27, 0.12, 0.16, 0.14, steel)
    s.oval(0.27, 0.12, 0.16, 0.14, _shade(steel, 0.2))
    s.polygon([(-0.28, 0), (-0.2, 0.24), (0.2, 0.24), (0.28, 0)], colour)
    s.polygon([(0.02, 0), (0.02, 0.24), (0.2, 0.24), (0.28, 0)], _shade(colour, 0.16))
    _helmet(s, 0, 0.44, 0.22, colour)


PAINT = {
    "cottage": cottage, "castle": castle, "lighthouse": lighthouse, "tree": tree, "boat": boat,
    "cat": cat, "robot": robot, "knight": knight, "dragon": dragon, "waterfall": waterfall,
    "space station": space_station,
}  # fmt: skip
PORTRAIT = {"cat": portrait_of_cat, "robot": portrait_of_robot, "knight": portrait_of_knight}
