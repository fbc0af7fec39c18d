"""The places of Storybook, painted from the far distance to the foreground. Built in chapter 1."""

from __future__ import annotations

import math
import random

from imagegen.storybook.light import SNOW, Brush, mix


def wave(rng: random.Random, y: float, height: float, n: int = 24) -> list[tuple[float, float]]:
    """A soft hill line around height y, as a polygon that reaches down to the bottom edge."""
    a, b = rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi)
    line = [
        (k / n, y + height * (0.6 * math.sin(4 * k / n + a) + 0.4 * math.sin(9 * k / n + b)))
        for k in range(n + 1)
    ]
    return [*line, (1, 1), (0, 1)]


def hills(b: Brush, rng: random.Random, y: float, height: float, colour, far: float = 0.0) -> None:
    """One layer of rolling land."""
    b.polygon(wave(rng, y, height), b.light.land(colour, far))


def _tower(b: Brush, rng: random.Random, x: float, w: float, top: float, far: float) -> None:
    base = rng.choice([(92, 112, 158), (112, 128, 170), (78, 98, 146), (122, 112, 166)])
    wall = b.light.wall(base, far)
    shape = rng.choice(("dome", "needle", "slant", "flat"))
    if shape == "dome":
        b.oval(x + w / 2, top, w / 2, w / 2, wall)
    elif shape == "needle":
        b.polygon([(x, top), (x + w / 2, top - w * 1.6), (x + w, top)], wall)
    elif shape == "slant":
        b.polygon([(x, top), (x + w, top - w * 0.7), (x + w, top)], wall)
    b.box(x, top, x + w, 1, wall)
    b.box(x + w * 0.7, top, x + w, 1, mix(wall, (20, 20, 50), 0.16))
    if far < 0.3:
        lit = (255, 216, 120) if b.light.dark else mix(wall, (220, 244, 255), 0.6)
        columns = max(2, round(w / 0.042))
        for i in range(columns):
            for j in range(12):
                y = top + 0.035 + j * 0.05
                if y < 0.86 and rng.random() < 0.62:
                    cx = x + w * (i + 0.5) / columns
                    b.box(cx - 0.011, y, cx + 0.011, y + 0.026, lit)


def city(b: Brush, rng: random.Random) -> None:
    """Three rows of towers and a road of light."""
    for x in range(11):
        _tower(
            b,
            rng,
            x * 0.1 - 0.05 + rng.uniform(-0.02, 0.02),
            rng.uniform(0.07, 0.1),
            rng.uniform(0.38, 0.56),
            0.6,
        )
    for x in range(6):
        w = rng.uniform(0.11, 0.15)
        top = rng.uniform(0.3, 0.44) if rng.random() < 0.5 else rng.uniform(0.46, 0.6)
        _tower(b, rng, x * 0.18 - 0.04 + rng.uniform(-0.02, 0.02), w, top, 0.16)
    road = b.light.land((86, 92, 124))
    b.box(0, 0.8, 1, 1, road)
    b.box(0, 0.8, 1, 0.815, (120, 236, 250) if b.light.dark else b.light.land((214, 226, 240)))
    for k in range(4):
        x = k * 0.28 + rng.uniform(0, 0.05)
        b.box(x, 0.93, x + 0.14, 0.948, b.light.land((240, 220, 150)))


def ruins(b: Brush, rng: random.Random) -> None:
    """Broken towers in smog, rubble in front."""
    for far, n, low, high in ((0.55, 7, 0.4, 0.58), (0.12, 5, 0.34, 0.6)):
        for k in range(n):
            w = rng.uniform(0.1, 0.15)
            x, top = (k + rng.uniform(-0.1, 0.2)) / n, rng.uniform(low, high)
            wall = b.light.wall(rng.choice([(96, 78, 70), (82, 72, 72), (108, 84, 66)]), far)
            crown = [(x + w * t, top + rng.uniform(-0.05, 0.05)) for t in (0, 0.25, 0.5, 0.75, 1)]
            b.polygon([*crown, (x + w, 1), (x, 1)], wall)
            if far < 0.3:
                for j in range(5):
                    for i in (0.3, 0.7):
                        if rng.random() < 0.6:
                            cx, cy = x + w * i, top + 0.09 + j * 0.075
                            b.box(
                                cx - 0.014,
                                cy,
                                cx + 0.014,
                                cy + 0.034,
                                mix(wall, (24, 16, 20), 0.65),
                            )
    hills(b, rng, 0.8, 0.03, (122, 96, 76))
    for _ in range(9):
        x, y, r = rng.random(), rng.uniform(0.82, 0.97), rng.uniform(0.025, 0.055)
        stone = b.light.land(rng.choice([(92, 78, 72), (140, 114, 92)]))
        b.polygon(
            [
                (x - r, y + r * 0.5),
                (x - r * 0.5, y - r * 0.5),
                (x + r * 0.5, y - r * 0.7),
                (x + r, y + r * 0.5),
            ],
            stone,
        )


def mountains(b: Brush, rng: random.Random) -> None:
    """A blue range, two or three snow peaks with a light and a shady side, a meadow."""
    for far, n, low, high, rock in (
        (0.55, 5, 0.38, 0.48, (104, 124, 170)),
        (0.1, 3, 0.2, 0.34, (98, 108, 140)),
    ):
        for k in rng.sample(range(n), n):
            x, top = (k + 0.5 + rng.uniform(-0.25, 0.25)) / n, rng.uniform(low, high)
            w, bend = (0.78 - top) * rng.uniform(0.62, 0.8), rng.uniform(-0.03, 0.03)
            b.polygon(
                [(x - w, 0.8), (x, top), (x + w, 0.8)],
                b.light.wall(mix(rock, (255, 255, 255), 0.16), far),
            )
            b.polygon(
                [(x, top), (x + w, 0.8), (x + bend, 0.8)],
                b.light.wall(mix(rock, (20, 20, 60), 0.2), far),
            )
            cap = (0.8 - top) * (0.5 if b.light.weather == "snow" else 0.32)
            dx = w * cap / (0.8 - top)
            zig = [
                (x + dx * t, top + cap * h)
                for t, h in ((1, 1), (0.45, 0.72), (0.1, 1.05), (-0.35, 0.7), (-1, 1))
            ]
            b.polygon([(x, top), *zig], b.light.wall(SNOW, far * 0.8))
            shade = mix(SNOW, (120, 140, 200), 0.35)
            b.polygon(
                [(x, top), *zig[:2], (x + bend * 0.3, top + cap * 0.9)],
                b.light.wall(shade, far * 0.8),
            )
    hills(b, rng, 0.72, 0.03, (92, 150, 96), 0.18)
    hills(b, rng, 0.82, 0.03, (104, 172, 88))
    for _ in range(7):
        _pine(b, rng, rng.random(), rng.uniform(0.74, 0.8), rng.uniform(0.08, 0.12), 0.12)


def _pine(b: Brush, rng: random.Random, x: float, y: float, h: float, far: float) -> None:
    green = b.light.wall(rng.choice([(38, 104, 78), (48, 118, 84), (32, 92, 80)]), far)
    b.box(x - h * 0.05, y - h * 0.1, x + h * 0.05, y + h * 0.05, b.light.wall((98, 66, 48), far))
    for k in range(3):
        top, w = y - h + k * h * 0.26, h * (0.16 + 0.075 * k)
        tier = [(x, top), (x + w, top + h * 0.4), (x - w, top + h * 0.4)]
        b.polygon(tier, mix(green, (255, 255, 255), 0.05 * (2 - k)))
        if b.light.weather == "snow":
            b.polygon(
                [
                    (x, top),
                    (x + w * 0.62, top + h * 0.24),
                    (x, top + h * 0.17),
                    (x - w * 0.62, top + h * 0.24),
                ],
                b.light.land(SNOW, far),
            )


def forest(b: Brush, rng: random.Random) -> None:
    """Three rows of pines on a clearing."""
    hills(b, rng, 0.6, 0.03, (84, 140, 104), 0.5)
    for far, n, y, h in ((0.5, 13, 0.66, 0.3), (0.25, 9, 0.73, 0.42)):
        for k in range(n):
            _pine(
                b,
                rng,
                (k + rng.random()) / n,
                y + rng.uniform(-0.02, 0.03),
                h * rng.uniform(0.8, 1.15),
                far,
            )
        hills(b, rng, y, 0.015, (88, 148, 92), far)
    for side in (0.02, 0.98):
        for dx in (0, 0.11):
            x = abs(side - dx - rng.uniform(0, 0.05))
            _pine(b, rng, x, 0.84 + rng.uniform(0, 0.05) - dx * 0.4, rng.uniform(0.58, 0.72), 0)
    hills(b, rng, 0.84, 0.02, (106, 160, 84))


def _leaf(b: Brush, x: float, y: float, angle: float, r: float, colour) -> None:
    c, s = math.cos(angle), math.sin(angle)
    shape = [(0, 0), (0.3, 0.2), (0.65, 0.18), (1, 0), (0.65, -0.18), (0.3, -0.2)]
    b.polygon([(x + r * (u * c - v * s), y + r * (u * s + v * c)) for u, v in shape], colour)
    b.line([(x, y), (x + r * 0.9 * c, y + r * 0.9 * s)], mix(colour, (255, 255, 210), 0.22), 0.006)


def jungle(b: Brush, rng: random.Random) -> None:
    """Layers of round crowns, hanging vines, a frame of big leaves."""
    greens = [(30, 110, 70), (44, 134, 72), (62, 150, 66), (24, 94, 72)]
    for far, n, y, r in ((0.45, 9, 0.42, 0.11), (0.2, 8, 0.54, 0.12)):
        for k in range(n):
            x = (k + rng.random()) / n
            dy = rng.uniform(-0.05, 0.05)
            leaf = b.light.wall(rng.choice(greens), far)
            b.box(x - 0.012, y + dy, x + 0.012, 1, b.light.wall((92, 68, 48), far))
            b.oval(x, y + dy, r * rng.uniform(0.85, 1.15), r * 0.8, leaf)
            b.oval(
                x - r * 0.2, y + dy - r * 0.25, r * 0.6, r * 0.4, mix(leaf, (220, 255, 160), 0.14)
            )
        b.polygon(wave(rng, y + 0.09, 0.03), b.light.wall(greens[2 if far > 0.3 else 0], far))
    hills(b, rng, 0.8, 0.02, (72, 138, 62))
    for _ in range(5):
        x, length = rng.random(), rng.uniform(0.14, 0.34)
        vine = [(x + 0.02 * math.sin(6 * t), length * t) for t in (0, 0.25, 0.5, 0.75, 1)]
        b.line(vine, b.light.wall((34, 102, 58)), 0.012)
        b.oval(*vine[-1], 0.016, 0.022, b.light.wall((86, 170, 78)))
    for side, angle in ((0, -0.5), (1, math.pi + 0.5)):
        for k in range(5):
            colour = b.light.wall(rng.choice(greens))
            turn = angle + (1 if side else -1) * (0.35 * k - 0.5) + rng.uniform(-0.12, 0.12)
            _leaf(b, side, 0.96 - 0.03 * k, turn, rng.uniform(0.2, 0.3), colour)


def beach(b: Brush, rng: random.Random) -> None:
    """The sea with its glitter, sand, a palm on one side."""
    y = rng.uniform(0.5, 0.56)
    sea = b.light.wall((44, 142, 190))
    b.box(0, y, 1, 1, mix(sea, b.light.sky[2], 0.4))
    b.box(0, y + 0.05, 1, 1, sea)
    for _ in range(9):
        gx, gy, w = rng.random(), rng.uniform(y + 0.02, y + 0.16), rng.uniform(0.03, 0.07)
        b.box(gx - w, gy, gx + w, gy + 0.009, mix(sea, b.light.sky[2], 0.75))
    shore = wave(rng, 0.75, 0.03)
    b.polygon(
        [(px, py - 0.025) for px, py in shore[:-2]] + shore[-2:], b.light.wall((226, 242, 246))
    )
    b.polygon(shore, b.light.land((242, 212, 152)))
    b.polygon(wave(rng, 0.88, 0.02), b.light.land((234, 198, 132)))
    side = rng.choice((-1, 1))
    x, foot, top = 0.5 - side * rng.uniform(0.4, 0.46), 0.84, rng.uniform(0.32, 0.4)
    tip = x + side * 0.08
    b.line([(x, foot), (x + side * 0.02, 0.6), (tip, top)], b.light.wall((136, 96, 64)), 0.028)
    for angle in (-2.7, -2.0, -1.1, -0.4, 0.3, 2.8):
        _leaf(b, tip, top, angle + rng.uniform(-0.15, 0.15), 0.19, b.light.wall((52, 140, 76)))
    if b.light.weather == "snow":
        b.oval(tip, top - 0.02, 0.07, 0.025, b.light.land(SNOW))


def desert(b: Brush, rng: random.Random) -> None:
    """Dunes with a light and a shady slope, cacti."""
    hills(b, rng, 0.58, 0.03, (226, 172, 120), 0.5)
    for y, far in ((0.64, 0.25), (0.75, 0.08), (0.86, 0)):
        x, w = rng.uniform(0.15, 0.85), rng.uniform(0.5, 0.75)
        sand = b.light.land((240, 190, 116), far)
        shade = b.light.land((206, 144, 88), far)
        b.box(0, y + 0.06, 1, 1, sand)
        b.polygon(
            [(x - w, y + 0.08), (x - w * 0.4, y + 0.03), (x, y - 0.06), (x + w, y + 0.08)], sand
        )
        b.polygon(
            [(x, y - 0.06), (x + w, y + 0.08), (x + w * 0.2, y + 0.08), (x + w * 0.14, y + 0.02)],
            shade,
        )
    for side in (rng.uniform(0.06, 0.16), rng.uniform(0.84, 0.94)):
        y, h = rng.uniform(0.76, 0.86), rng.uniform(0.17, 0.24)
        green = b.light.wall((70, 142, 92))
        b.box(side - 0.02, y - h, side + 0.02, y, green, 0.02)
        for s, k in ((-1, 0.55), (1, 0.4)):
            b.box(side, y - h * k, side + s * 0.06, y - h * k + 0.025, green, 0.01)
            b.box(
                side + s * 0.06 - 0.0125,
                y - h * (k + 0.22),
                side + s * 0.06 + 0.0125,
                y - h * k + 0.025,
                green,
                0.012,
            )


def house(b: Brush, x: float, y: float, w: float, h: float, wall, roof) -> None:
    """A small gabled house seen from the front, its window lit in the dark."""
    b.box(x - w / 2, y - h, x + w / 2, y, wall)
    b.polygon([(x - w * 0.64, y - h), (x, y - h * 1.85), (x + w * 0.64, y - h)], roof)
    lit = (255, 214, 110) if b.light.dark else mix(wall, (70, 90, 130), 0.6)
    b.box(x - w * 0.16, y - h * 0.72, x + w * 0.16, y - h * 0.34, lit)


def village(b: Brush, rng: random.Random) -> None:
    """Hills, a church and a row of little houses along a lane."""
    hills(b, rng, 0.56, 0.04, (120, 166, 120), 0.5)
    hills(b, rng, 0.64, 0.03, (112, 168, 98), 0.25)
    roofs, walls = (
        [(196, 92, 70), (168, 82, 84), (120, 92, 100)],
        [(240, 226, 200), (226, 208, 190), (214, 222, 226)],
    )
    x = rng.uniform(0.15, 0.85)
    church = b.light.wall((234, 226, 214), 0.18)
    b.box(x - 0.04, 0.42, x + 0.04, 0.72, church)
    b.polygon(
        [(x - 0.055, 0.43), (x, 0.24), (x + 0.055, 0.43)], b.light.land((120, 110, 130), 0.15)
    )
    for far, n, y, w in ((0.25, 7, 0.7, 0.11), (0.05, 6, 0.78, 0.135)):
        for k in range(n):
            wall, roof = b.light.wall(rng.choice(walls), far), b.light.land(rng.choice(roofs), far)
            house(
                b,
                (k + 0.5 + rng.uniform(-0.15, 0.15)) / n,
                y + rng.uniform(-0.01, 0.02),
                w,
                w * 0.7,
                wall,
                roof,
            )
    hills(b, rng, 0.79, 0.008, (120, 178, 96))
    b.polygon([(0.42, 0.79), (0.52, 0.79), (0.9, 1), (0.2, 1)], b.light.land((222, 196, 150)))


def meadow(b: Brush, rng: random.Random) -> None:
    """Rolling hills, round trees far away, flowers near by."""
    hills(b, rng, 0.56, 0.05, (132, 184, 130), 0.45)
    hills(b, rng, 0.66, 0.04, (126, 190, 104), 0.22)
    for _ in range(4):
        x, y, r = rng.random(), rng.uniform(0.6, 0.66), rng.uniform(0.03, 0.045)
        b.oval(x, y, r, r * 1.1, b.light.wall((74, 142, 84), 0.2))
    hills(b, rng, 0.78, 0.03, (124, 198, 88))
    for _ in range(12 if b.light.weather != "snow" else 0):
        x, y, r = rng.random(), rng.uniform(0.83, 0.98), rng.uniform(0.012, 0.017)
        flower = rng.choice([(250, 222, 90), (246, 130, 150), (250, 250, 250), (150, 120, 220)])
        b.oval(x, y, r, r, b.light.wall(flower))


def space(b: Brush, rng: random.Random) -> None:
    """The Earth from above, with land, clouds and a thin shell of air."""
    x, y, r = rng.uniform(0.35, 0.65), rng.uniform(1.28, 1.36), rng.uniform(0.68, 0.74)
    b.oval(x, y, r + 0.03, r + 0.03, (96, 170, 250), 0.3)
    b.oval(x, y, r + 0.012, r + 0.012, (150, 206, 255), 0.6)
    b.oval(x, y, r, r, (36, 108, 200))
    for _ in range(6):
        angle, d = rng.uniform(-2.5, -0.65), r * rng.uniform(0.7, 0.9)
        cx, cy = x + d * math.cos(angle), y + d * math.sin(angle)
        for _ in range(3):
            b.oval(
                cx + rng.uniform(-0.06, 0.06),
                cy + rng.uniform(-0.01, 0.03),
                0.075,
                0.03,
                (84, 168, 96),
            )
    for _ in range(4):
        angle, d = rng.uniform(-2.4, -0.75), r * rng.uniform(0.74, 0.93)
        w = rng.uniform(0.07, 0.13)
        b.box(
            x + d * math.cos(angle) - w,
            y + d * math.sin(angle) - 0.012,
            x + d * math.cos(angle) + w,
            y + d * math.sin(angle) + 0.012,
            (240, 246, 255),
            0.012,
            0.9,
        )


def portrait(b: Brush, rng: random.Random) -> None:
    """A painted backdrop: the sky of the hour and an oval of light."""
    b.oval(0.5, 0.46, 0.4, 0.42, mix(b.light.sky[2], (255, 250, 230), 0.35), 0.5)


def frame(b: Brush) -> None:
    """The gilded frame of a portrait, painted last."""
    wood, gold = b.light.thing((122, 78, 48)), b.light.thing((226, 178, 84))
    for inset, tone in ((0, wood), (0.022, gold), (0.05, wood)):
        for edge in (
            (inset, inset, 1 - inset, inset + 0.028),
            (inset, 0.972 - inset, 1 - inset, 1 - inset),
            (inset, inset, inset + 0.028, 1 - inset),
            (0.972 - inset, inset, 1 - inset, 1 - inset),
        ):
            b.box(*edge, tone)


PAINT = {
    "city": city, "ruins": ruins, "mountains": mountains, "forest": forest, "jungle": jungle,
    "beach": beach, "desert": desert, "village": village, "meadow": meadow, "space": space,
    "portrait": portrait,
}  # fmt: skip
