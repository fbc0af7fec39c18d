"""Paints a scene: sky, sun, clouds, the place, the subject, the detail and the weather.

Everything is drawn three times too large and then averaged down, which smooths the edges.
The seed moves, scales and shapes everything that the scene does not fix, so that no picture
comes twice. Built in chapter 1.
"""

from __future__ import annotations

import random
from dataclasses import astuple

import numpy as np
from PIL import Image

from imagegen.storybook import places, subjects
from imagegen.storybook.light import BRIGHT, COLOUR, SNOW, Brush, Light, mix, times
from imagegen.storybook.scene import Scene

OVERSAMPLE = 3


def draw(scene: Scene, seed: int = 0, size: int = 128, detail: bool = True) -> Image.Image:
    """One RGB picture of a scene, size x size pixels; same scene and seed, same picture.

    detail: False leaves the birds, the balloon or the cars out and everything else in its place.
    """
    rng = random.Random(f"{seed} {' '.join(astuple(scene))}")
    light = Light(scene.time, scene.weather)
    brush = Brush(_sky(scene, light, size * OVERSAMPLE), light)
    x = rng.uniform(0.34, 0.66)  # where the subject stands; the rest keeps out of its way
    if scene.place == "space":
        _stars(brush, rng, 20)
    elif scene.place != "portrait":
        _sun(brush, rng, x)
        _clouds(brush, rng)
    places.PAINT[scene.place](brush, rng)
    canvas = brush if detail else Brush(brush.image.copy(), light)  # the chances stay the same
    _detail(scene.detail, canvas, rng, x)
    if scene.weather == "fog":
        _fog(brush, rng, 0.5)
    if scene.subject != "none":
        colour = light.thing(COLOUR.get(scene.colour, (128, 128, 128)))
        paint = subjects.PORTRAIT if scene.place == "portrait" else subjects.PAINT
        paint[scene.subject](brush, rng, x, colour)
    if scene.place == "portrait":
        places.frame(brush)
    _weather(scene.weather, brush, rng)
    return brush.image.reduce(OVERSAMPLE)


def _sky(scene: Scene, light: Light, size: int) -> Image.Image:
    stops = light.sky
    if scene.place == "space":
        stops = ((8, 8, 26), (14, 14, 42), (22, 20, 58))
    elif scene.place == "ruins":
        smog = times((168, 136, 92), (BRIGHT[scene.time],) * 3)
        stops = tuple(mix(c, smog, k) for c, k in zip(stops, (0.45, 0.5, 0.4), strict=True))
    low = 1.0 if scene.place in ("space", "portrait") else 0.68
    y = np.linspace(0, 1, size) / low
    rows = np.stack(
        [np.interp(y, (0, 0.5, 1), channel) for channel in zip(*stops, strict=True)], axis=1
    )
    pixels = np.repeat(rows.round().astype(np.uint8)[:, None], size, axis=1)
    return Image.fromarray(pixels)


def _stars(brush: Brush, rng: random.Random, n: int) -> None:
    for _ in range(n):
        x, y, r = rng.random(), rng.random() * 0.62, rng.uniform(0.008, 0.013)
        brush.oval(x, y, r, r, (255, 250, 224), rng.uniform(0.6, 1))


def _sun(brush: Brush, rng: random.Random, subject_x: float) -> None:
    time, weather = brush.light.time, brush.light.weather
    x = rng.uniform(0.12, 0.36) if subject_x > 0.5 else rng.uniform(0.64, 0.88)
    if weather in ("rain", "snow"):
        return
    dim = 0.6 if weather == "fog" else 1.0
    if time == "night":
        _stars(brush, rng, round(14 * dim))
        y, r = rng.uniform(0.13, 0.24), rng.uniform(0.065, 0.085)
        brush.glow(x, y, r * 2.4, (190, 206, 255), 0.5 * dim)
        brush.oval(x, y, r, r, (250, 244, 214), dim)
        brush.oval(
            x + r * 0.45,
            y - r * 0.2,
            r * 0.82,
            r * 0.82,
            mix(brush.light.sky[0], (40, 56, 110), 0.5),
        )
        return
    low, high, r, disc, halo = {
        "day": (0.12, 0.2, 0.07, (255, 246, 190), (255, 252, 220)),
        "dawn": (0.42, 0.5, 0.08, (255, 246, 216), (255, 236, 200)),
        "sunset": (0.44, 0.52, 0.13, (255, 226, 120), (255, 190, 90)),
    }[time]
    y, r = rng.uniform(low, high), r * rng.uniform(0.9, 1.15)
    brush.glow(x, y, r * 2.6, halo, 0.8 * dim)
    brush.oval(x, y, r, r, disc, dim)


def _clouds(brush: Brush, rng: random.Random) -> None:
    time, weather = brush.light.time, brush.light.weather
    heavy = weather in ("rain", "snow")
    tone = {
        "day": (255, 255, 255),
        "dawn": (255, 226, 226),
        "sunset": (250, 150, 120),
        "night": (70, 86, 138),
    }[time]
    if heavy:
        grey = (92, 102, 122) if weather == "rain" else (178, 188, 206)
        tone = mix(tone, times(grey, (BRIGHT[time] + 0.1,) * 3), 0.75)
    for _ in range(5 if heavy else rng.randint(1, 3)):
        x, y = rng.random(), rng.uniform(0.03, 0.14) if heavy else rng.uniform(0.08, 0.32)
        w = rng.uniform(0.14, 0.24) if heavy else rng.uniform(0.09, 0.15)
        for dx, dy, r in ((-0.8, 0.1, 0.45), (0, -0.15, 0.62), (0.75, 0.05, 0.5)):
            brush.oval(x + dx * w, y + dy * w, r * w * 1.3, r * w * 0.75, tone, 0.92)
        brush.box(x - 1.3 * w, y + 0.05 * w, x + 1.3 * w, y + 0.42 * w, tone, 0.18 * w, 0.92)


def _detail(detail: str, brush: Brush, rng: random.Random, subject_x: float) -> None:
    side = (0.06, 0.34) if subject_x > 0.5 else (0.66, 0.94)
    thing = brush.light.thing
    if detail == "birds":
        dark = thing((52, 48, 66)) if brush.light.time != "night" else (206, 212, 236)
        x0, y0 = (side[0] + side[1]) / 2 + rng.uniform(-0.04, 0.04), rng.uniform(0.17, 0.24)
        for dx, dy in ((-0.11, -0.03), (0.1, -0.07), (0.03, 0.1)):
            x, y = x0 + dx + rng.uniform(-0.02, 0.02), y0 + dy + rng.uniform(-0.02, 0.02)
            w = rng.uniform(0.078, 0.092)
            brush.polygon(
                [
                    (x - w, y - w * 0.6),
                    (x, y - w * 0.05),
                    (x + w, y - w * 0.6),
                    (x + w * 0.3, y + w * 0.1),
                    (x, y + w * 0.5),
                    (x - w * 0.3, y + w * 0.1),
                ],
                dark,
            )
    elif detail == "balloon":
        x, y, r = (
            rng.uniform(side[0] + 0.04, side[1] - 0.04),
            rng.uniform(0.19, 0.25),
            rng.uniform(0.125, 0.14),
        )
        one, two = rng.sample([(228, 84, 70), (250, 200, 80), (88, 150, 220), (246, 240, 230)], 2)
        brush.polygon(
            [
                (x - r * 0.8, y + r * 0.55),
                (x + r * 0.8, y + r * 0.55),
                (x + r * 0.2, y + r * 1.5),
                (x - r * 0.2, y + r * 1.5),
            ],
            thing(mix(one, (0, 0, 0), 0.15)),
        )
        brush.oval(x, y, r, r, thing(one))
        brush.oval(x, y, r * 0.62, r, thing(two))
        brush.oval(x, y, r * 0.25, r, thing(one))
        brush.box(
            x - r * 0.28, y + r * 1.5, x + r * 0.28, y + r * 1.95, thing((130, 84, 50)), 0.005
        )
    elif detail == "flying cars":
        for k in range(3):
            x = (0.2, 0.8, 0.5)[k] + rng.uniform(-0.06, 0.06)
            y, w = (0.22, 0.35, 0.1)[k] + rng.uniform(-0.03, 0.03), rng.uniform(0.115, 0.13)
            body = rng.choice([(240, 90, 80), (250, 200, 70), (80, 200, 220), (240, 240, 244)])
            face = rng.choice((-1, 1))
            brush.oval(x, y + w * 0.5, w * 0.9, w * 0.22, (120, 240, 255), 0.6)
            brush.oval(x + face * w * 0.1, y - w * 0.12, w * 0.58, w * 0.42, thing((60, 80, 120)))
            brush.box(x - w, y - w * 0.1, x + w, y + w * 0.38, thing(body), w * 0.22)
            brush.oval(x + face * w * 0.82, y + w * 0.12, w * 0.16, w * 0.14, (255, 250, 190))


def _fog(brush: Brush, rng: random.Random, alpha: float) -> None:
    tone = times((238, 240, 242), (max(0.5, BRIGHT[brush.light.time]),) * 3)
    for row in range(4):
        y, x, h = (
            0.5 + 0.12 * row + rng.uniform(-0.03, 0.03),
            rng.uniform(0.2, 0.8),
            rng.uniform(0.05, 0.075),
        )
        w = rng.uniform(0.45, 0.65)
        for k in (1, 0.75, 0.5, 0.25):
            brush.box(
                x - w * (0.7 + 0.3 * k),
                y - h * k,
                x + w * (0.7 + 0.3 * k),
                y + h * k,
                tone,
                h * k,
                alpha / 3,
            )


def _weather(weather: str, brush: Brush, rng: random.Random) -> None:
    if weather == "snow":
        for _ in range(18):
            r = rng.uniform(0.015, 0.024)
            brush.oval(rng.random(), rng.random(), r, r, SNOW, 0.95)
    elif weather == "rain":
        tone = mix((196, 216, 240), brush.light.sky[2], 0.25)
        for k in range(16):
            x, y, h = (
                (k % 4 + rng.random()) / 4 + 0.05,
                (k // 4 + rng.random()) / 4,
                rng.uniform(0.12, 0.16),
            )
            brush.line([(x, y), (x - 0.35 * h, y + h)], tone, 0.017, 0.8)
    elif weather == "fog":
        _fog(brush, rng, 0.3)
