"""The parts of the site that need no build: the page's arithmetic, its words, its files.

The page's modules run in the browser and are compared with torch, diffusers and imagegen itself.
"""

import base64
import io
import json
import random
import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import diffusers
import nbformat
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from transformers import CLIPTokenizer

from imagegen.draw import check_recipe
from imagegen.models import load_pipeline, model_folder
from imagegen.recipe import SCHEDULERS, Recipe, read_recipe, write_infotext
from imagegen.storybook.caption import caption, read, unknown_words
from imagegen.storybook.scene import random_scene

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
sys.path.insert(0, str(SITE))

import build  # noqa: E402
import describe  # noqa: E402
import pages  # noqa: E402
import serve  # noqa: E402

CHAPTERS = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def page(window):
    """A page of the browser that can import the explainer's modules."""
    server = serve.serve(SITE / "explain")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = window.context.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/style.css")
    yield page
    page.close()
    server.shutdown()


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline(device="cpu")


@pytest.fixture(scope="module")
def about(pipe):
    return describe.describe(pipe)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32 + 7, 2**53 - 1])
@pytest.mark.parametrize("size", [16, 17, 31, 100, 2048])
def test_the_noise_of_a_seed_is_torchs(page, seed, size):
    ours = page.evaluate(
        """async ([seed, size]) => {
            const { Generator } = await import("/noise.js");
            const generator = new Generator(seed);
            return [[...generator.normal(size)], [...generator.normal(size)]];
        }""",
        [seed, size],
    )
    g = torch.Generator().manual_seed(seed)
    for row in ours:  # the second draw goes on where the first one ended
        assert np.abs(np.array(row) - torch.randn(size, generator=g).numpy()).max() < 2e-6


CONFIGS = {
    "own": {},
    "noise predicted": {
        "prediction_type": "epsilon", "rescale_betas_zero_snr": False, "timestep_spacing": "leading"
    },
    "evenly spread": {
        "prediction_type": "epsilon", "rescale_betas_zero_snr": False,
        "timestep_spacing": "linspace", "beta_schedule": "linear",
    },
    "picture predicted": {"prediction_type": "sample", "rescale_betas_zero_snr": False},
}  # fmt: skip


def with_scheduler(pipe, changes):
    config = dict(pipe.scheduler.config) | changes
    return SimpleNamespace(scheduler=diffusers.DPMSolverMultistepScheduler.from_config(config))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", describe.SAMPLERS)
def test_the_schedulers_are_those_of_diffusers(page, pipe, name, config):
    own = with_scheduler(pipe, CONFIGS[config])
    numbers = describe.sampler(own, name)
    start = torch.randn(1, 1, 4, 8, generator=torch.Generator().manual_seed(1))
    for steps in (1, 2, 3, 7, 16, 20, 37, 50):
        scheduler = getattr(diffusers, SCHEDULERS[name]).from_config(
            {"clip_sample": False} | dict(own.scheduler.config)
        )
        scheduler.set_timesteps(steps)
        xt = start * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            x = scheduler.scale_model_input(xt, t)
            xt = scheduler.step(torch.sin(1.7 * x + 0.01 * t), t, xt).prev_sample
        times, ours, noisy = page.evaluate(
            """async ([numbers, name, steps, start]) => {
                const { makeScheduler } = await import("/schedulers.js");
                const scheduler = makeScheduler(numbers, name, steps);
                let xt = Float32Array.from(start, (x) => x * scheduler.first);
                for (let i = 0; i < scheduler.times.length; i++) {
                    const x = scheduler.input(xt, i);
                    const t = scheduler.times[i];
                    const answer = x.map((value) => Math.sin(1.7 * value + 0.01 * t));
                    xt = scheduler.step(scheduler.clean(answer, xt, i), xt, i);
                }
                const middle = Math.floor(steps / 2);
                const noisy = scheduler.addNoise(start, start.map((x) => x / 2), middle);
                return [scheduler.times, [...xt], [...noisy]];
            }""",
            [numbers, name, steps, start.flatten().tolist()],
        )
        assert np.allclose(times, scheduler.timesteps.numpy(), atol=1e-3), steps
        rounding = 2e-4 + 2**-22 * float(scheduler.init_noise_sigma)  # of float32, which both use
        assert np.abs(np.array(ours) - xt.flatten().numpy()).max() < rounding, steps
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_timesteps(steps)
            scheduler.set_begin_index(steps // 2)
        t = scheduler.timesteps[steps // 2 : steps // 2 + 1]
        expected = scheduler.add_noise(start, start / 2, t).flatten().numpy()
        assert np.allclose(noisy, expected, rtol=1e-5, atol=1e-5), steps


def test_a_scheduler_that_the_page_cannot_draw_with_is_refused(pipe):
    with pytest.raises(ValueError, match="use_karras_sigmas"):
        describe.sampler(with_scheduler(pipe, {"use_karras_sigmas": True}), "DPM-Solver++")


def texts():
    rng = random.Random(0)
    made = [caption(random_scene(rng, None), rng) for _ in range(60)]
    letters = "abcdefgz ABC -,.'!?09éß中😀\t\n_<|"
    odd = ["".join(rng.choices(letters, k=rng.randrange(1, 40))) for _ in range(60)]
    own = ["", " ", "A cat's HOUSE, don't!", "snow-covered", "a ruined city", "seaside", "x" * 300]
    return [*made, *odd, *own, "<|endoftext|> a cat <|startoftext|>", "CAFE\u0301 İstanbul"]


def test_the_tokens_and_the_words_are_those_of_the_notebook(page, about):
    tokenizer = CLIPTokenizer.from_pretrained(model_folder("storybook-sd") / "tokenizer")
    ours = page.evaluate(
        """async ([about, texts]) => {
            const { Tokenizer } = await import("/tokenizer.js");
            const tokenizer = new Tokenizer(about);
            return texts.map((text) => {
                return [tokenizer.ids(text), tokenizer.unknownWords(text), tokenizer.read(text)];
            });
        }""",
        [about, texts()],
    )
    for text, (ids, unknown, named) in zip(texts(), ours, strict=True):
        expected = tokenizer(text, padding="max_length", truncation=True).input_ids
        assert ids == expected, text
        assert unknown == unknown_words(text), text
        assert named == read(text), text


RECIPES = [
    {},
    {"prompt": "Eine Möwe, \"groß\": 中\nzwei", "negative_prompt": "rain, fog", "seed": 12},
    {"guidance": 7.25, "scheduler": "Euler", "steps": 3, "seed": 2**32 - 1},
]  # fmt: skip


@pytest.mark.parametrize("changes", RECIPES)
def test_a_saved_picture_and_a_link_carry_the_recipe(page, about, pipe, changes, tmp_path):
    made = page.evaluate(
        """async ([about, changes]) => {
            const { fromLink, infotext, toLink, toPng, usual } = await import("/recipe.js");
            const recipe = { ...usual(about), ...changes };
            const length = 4 * 6 * 5;
            const pixels = Uint8ClampedArray.from({ length }, (_, i) => i % 4 === 3 ? 255 : 7 * i);
            const blob = await toPng(pixels, [6, 5], recipe, about.version);
            const png = new Uint8Array(await blob.arrayBuffer());
            return {
                recipe,
                text: infotext(recipe, about.version),
                png: btoa(String.fromCharCode(...png)),
                pixels: [...pixels],
                again: fromLink(toLink(recipe, about), about),
            };
        }""",
        [about, changes],
    )
    recipe = Recipe(**made["recipe"])
    check_recipe(pipe, recipe)
    assert made["again"] == {"recipe": made["recipe"], "complaints": []}
    assert made["text"] == write_infotext(recipe)
    path = tmp_path / "picture.png"
    path.write_bytes(base64.b64decode(made["png"]))
    assert read_recipe(path) == recipe
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert image.mode == "RGB"
        expected = np.array(made["pixels"]).reshape(5, 6, 4)[..., :3]
        assert np.array_equal(np.asarray(image), expected)
        assert image.text["parameters"] == made["text"].strip()


@pytest.mark.parametrize(
    "link",
    ["#seed=-1", "#scheduler=constructor", "#seed=1.5", "#seed=x", "#seed=",
     "#steps=0", "#steps=1000", "#guidance=NaN", "#scheduler=Magic", "#width=64", "#model=another"],
)  # fmt: skip
def test_a_link_that_cannot_be_drawn_is_told_of(page, about, link):
    asked, usual = page.evaluate(
        """async ([about, link]) => {
            const { fromLink, usual } = await import("/recipe.js");
            return [fromLink(link, about), usual(about)];
        }""",
        [about, link],
    )
    assert len(asked["complaints"]) == 1
    assert asked["recipe"] == usual


def test_a_link_with_unknown_settings_and_markup_is_only_text(page, about):
    asked = page.evaluate(
        """async (about) => {
            const { fromLink } = await import("/recipe.js");
            return fromLink("#prompt=%3Cimg+src%3Dx%3E&utm_source=x&__proto__=1", about);
        }""",
        about,
    )
    assert asked["complaints"] == []
    assert asked["recipe"]["prompt"] == "<img src=x>"


def test_pixels_are_rounded_as_in_the_notebook(page):
    values = np.linspace(-1.2, 1.2, 999, dtype=np.float32)
    ours = page.evaluate(
        """async (values) => {
            const { toPixels, fromPixels } = await import("/draw.js");
            const pixels = toPixels(Float32Array.from(values));
            return [[...pixels], [...fromPixels(pixels)]];
        }""",
        values.tolist(),
    )
    rgb = np.array(ours[0]).reshape(-1, 4)
    assert (rgb[:, 3] == 255).all()
    expected = ((values / 2 + 0.5).clip(0, 1) * 255).round().reshape(3, -1).T
    assert np.abs(rgb[:, :3] - expected).max() <= 1
    assert (rgb[:, :3] == expected).mean() > 0.99
    back = np.array(ours[1]).reshape(3, -1).T
    assert np.abs(back - (rgb[:, :3] / 127.5 - 1)).max() < 1e-6


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapters_page_has_its_pictures_words_and_questions(path, tmp_path):
    title = pages.write_chapter(path, tmp_path)
    before = nbformat.read(path, as_version=4)
    after = nbformat.read(tmp_path / path.name, as_version=4)
    assert re.match(r"\d+\. \w", title)
    assert "colab-badge" not in after.cells[0].source and "](../quizzes/" in after.cells[0].source
    assert len(after.cells) == len(before.cells)
    asked = 0
    for old, new in zip(before.cells, after.cells, strict=True):
        if old.cell_type != "code":
            continue
        assert old.source == new.source
        shows = any(key.startswith("image/") for o in new.outputs for key in o.get("data", {}))
        if shows:
            assert len(new.metadata["mystnb"]["image"]["alt"]) > 8
        asked += any("data-item" in o.get("data", {}).get("text/html", "") for o in new.outputs)
    assert asked
    assert len(pages.names(path)) >= 3


def test_the_quizzes_of_the_site_are_the_item_bank():
    folder = ROOT / "solutions" / "items"
    banks = pages.load_banks(folder)
    assert {path.stem for path in CHAPTERS} == set(banks)
    for chapter, bank in banks.items():
        items = yaml.safe_load((folder / f"{chapter}.yaml").read_text(encoding="utf-8"))["items"]
        page = pages.quiz_page(chapter, bank)
        assert re.findall(r'data-item="(\w+)"', page) == [item["id"] for item in items]
        for item in bank["items"]:
            made = pages.question(chapter, item)
            assert sum(option["right"] for option in made["options"]) == 1
            for option, own in zip(item["options"], made["options"], strict=True):
                assert own["right"] == bool(option.get("correct"))
                assert own["why"] and own["text"]
                assert bool(own["belief"]) == bool(option.get("misconception"))


def test_the_glossary_has_every_name_once(tmp_path):
    found = {path: pages.names(path) for path in CHAPTERS}
    pages.write_glossary(found, tmp_path / "glossary.md")
    text = (tmp_path / "glossary.md").read_text(encoding="utf-8")
    heads = [
        line for line in text.split("```{glossary}")[1].splitlines() if re.match(r"[^\s`]", line)
    ]
    terms = {term.lower() for rows in found.values() for names, _ in rows for term in names}
    assert sorted(head.lower() for head in heads) == sorted(terms)


def test_what_the_site_needs_is_named_with_exact_versions():
    lines = (SITE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needed = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    assert needed and all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in needed)
    course = (ROOT / "requirements.txt").read_text(encoding="utf-8").lower()
    assert [line for line in needed if f"\n{line.split('==')[0].lower()}==" in course] == []
    packages = json.loads((SITE / "package.json").read_text(encoding="utf-8"))
    for version in {**packages["dependencies"], **packages["devDependencies"]}.values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


@pytest.mark.parametrize("target", ["site", "site-serve", "site-test"])
def test_the_commands_of_the_site_exist(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}: .*## \w", makefile, re.M)


def test_the_workflow_publishes_what_make_site_builds():
    workflow = yaml.safe_load((ROOT / ".github/workflows/site.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["build"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands == ["make site", "make site-test"]
    artifact = next(step["with"]["path"] for step in steps if "pages-artifact" in str(step))
    assert ROOT / artifact == build.HTML


def test_the_page_asks_no_other_host():
    for path in [*(SITE / "explain").iterdir(), *(SITE / "static").iterdir(), SITE / "index.md"]:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"(?:src|href)=\"https?:|fetch\(\"https?:|import .*https?:", text) == []
