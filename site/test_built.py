"""The built site in a real browser: `make site`, then `make site-test`.

    picture   the nine prompts drawn by the page and by the notebook's pipeline
    speed     the page, one thread, against torch, one thread, in turns
    size      bytes until the first picture
    pages     links, alt texts, axe, foreign hosts, and all of it without a network

What was measured is printed, and written to results/site.json.
"""

import json
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlparse

import numpy as np
import pytest
import torch
from playwright.sync_api import sync_playwright

SITE = Path(__file__).resolve().parent
ROOT = SITE.parent
sys.path[:0] = [str(SITE), str(ROOT / "tests")]

import browser  # noqa: E402
import serve  # noqa: E402
from build import HTML, NODE  # noqa: E402

from imagegen.device import cpu_name  # noqa: E402
from imagegen.draw import as_task  # noqa: E402
from imagegen.models import load_pipeline  # noqa: E402

ABOUT = json.loads((HTML / "explain/model/model.json").read_text(encoding="utf-8"))
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html"))
EXPLAINER = "explain/index.html"
DRAW = """async ([recipe, start]) => {
    window.painter ??= new (await import(new URL("painter.js", location.href))).Painter();
    await window.painter.load(() => {});
    if (start) start.pixels = Uint8ClampedArray.from(start.pixels);
    const { pixels, seconds } = await window.painter.draw(recipe, { start });
    return [Array.from(pixels), seconds];
}"""


@pytest.fixture(scope="module")
def measured():
    """What the tests find out, for a person to read."""
    found = {"cpu": cpu_name()}
    yield found
    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / "results/site.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n" + json.dumps(found, indent=1))


@pytest.fixture(scope="module")
def address():
    """Where the site is served without the headers that threads need, as on GitHub Pages."""
    server = serve.serve(HTML, isolated=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    path = browser.find()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(chromium, address):
    """A page of a visitor who was never here, with lists of what goes wrong."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, service_workers="block")
    page = watched(context.new_page())
    yield page
    assert page.errors == []
    context.close()


def watched(page):
    page.errors, page.asked = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.set_default_timeout(180_000)
    return page


@pytest.fixture(scope="module")
def pipe():
    torch.set_num_threads(1)
    return load_pipeline(device="cpu")


def recipe(**changes):
    usual = {"prompt": "", "negative_prompt": "", "seed": 0, "steps": ABOUT["steps"]}
    usual |= {"guidance": ABOUT["guidance"], "scheduler": ABOUT["scheduler"]}
    return usual | changes


def in_page(page, recipe, start=None):
    """A recipe's picture (H, W, 3) as the page draws it, and the seconds it took."""
    pixels, seconds = page.evaluate(DRAW, [recipe, start])
    return np.array(pixels).reshape(ABOUT["size"], ABOUT["size"], 4)[..., :3], seconds


def in_notebook(pipe, recipe, **more):
    """The same as the stock pipeline of diffusers draws it."""
    from imagegen.draw import _scheduler

    with _scheduler(pipe, recipe["scheduler"]):
        image = pipe(
            recipe["prompt"],
            negative_prompt=recipe["negative_prompt"] or None,
            num_inference_steps=recipe["steps"],
            guidance_scale=recipe["guidance"],
            generator=torch.Generator().manual_seed(recipe["seed"]),
            **more,
        ).images[0]
    return np.asarray(image).astype(int)


def test_each_part_answers_as_the_model(measured):
    apart = {name: part["difference"] for name, part in ABOUT["parts"].items()}
    measured["parity of each part with torch"] = apart
    assert max(apart.values()) < 1e-4


def test_the_page_draws_the_notebooks_pictures(page, address, pipe, measured):
    page.goto(address + EXPLAINER)
    most = {}
    for prompt in ABOUT["prompts"]:
        asked = recipe(prompt=prompt)
        ours, _ = in_page(page, asked)
        most[prompt] = int(np.abs(ours - in_notebook(pipe, asked)).max())
    measured["largest difference of 255, nine prompts"] = most
    assert max(most.values()) <= 2


@pytest.mark.parametrize(
    "changes",
    [
        {"scheduler": "DDIM", "steps": 12},
        {"scheduler": "Euler", "steps": 12},
        {"guidance": 1, "seed": 2**32 + 3, "steps": 7},
        {"negative_prompt": "snow, birds", "steps": 7},
    ],
)
def test_other_settings_draw_the_notebooks_pictures_too(page, address, pipe, changes):
    page.goto(address + EXPLAINER)
    asked = recipe(prompt="a red castle in a meadow at dawn", **changes)
    assert np.abs(in_page(page, asked)[0] - in_notebook(pipe, asked)).max() <= 2


def test_image_to_image_draws_the_notebooks_picture(page, address, pipe):
    from PIL import Image

    size = ABOUT["size"]
    doodle = Image.new("RGBA", (size, size), "#8fc3e8")
    doodle.paste("#3c7fb1", (0, size // 2, size, size))
    asked = recipe(prompt="a boat on a beach at sunset", seed=3)
    start = {"pixels": np.asarray(doodle).flatten().tolist(), "strength": 0.7}
    page.goto(address + EXPLAINER)
    ours, _ = in_page(page, asked, start)
    other = as_task(pipe, "image-to-image")
    expected = in_notebook(other, asked, image=doodle.convert("RGB"), strength=0.7)
    assert np.abs(ours - expected).max() <= 2


def test_a_picture_takes_at_most_three_and_a_half_times_torchs_time(page, address, pipe, measured):
    page.goto(address + EXPLAINER)
    asked = recipe(prompt=ABOUT["prompts"][0])
    in_page(page, asked), in_notebook(pipe, asked)
    rounds = []
    for _ in range(3):  # in turns, since other work on this machine comes and goes
        _, ours = in_page(page, asked)
        began = time.perf_counter()
        in_notebook(pipe, asked)
        rounds.append((ours, time.perf_counter() - began))
    ours, torchs = map(min, zip(*rounds, strict=True))
    measured["seconds a picture, one WASM thread"] = round(ours, 2)
    measured["seconds a picture, torch, one thread"] = round(torchs, 2)
    measured["times torch"] = round(ours / torchs, 2)
    assert ours / torchs < 3.5


def test_the_first_picture_needs_few_bytes(page, address, measured):
    sizes = []
    page.on("response", lambda answer: sizes.append(int(answer.headers.get("content-length", 0))))
    page.goto(address + EXPLAINER)
    page.wait_for_selector("html[data-ready]")
    page.click("#draw")
    page.wait_for_selector("#save:enabled")
    # The oracle, which reads the picture, is fetched after it.
    late = sum(p.stat().st_size for p in (HTML / "explain/model").glob("oracle.*"))
    measured["megabytes before the first picture"] = round((sum(sizes) - late) / 1e6, 2)
    measured["requests to foreign hosts"] = len(foreign(page, address))
    assert 20e6 < sum(sizes) < 48e6
    assert foreign(page, address) == []


def test_the_explainer_works_by_keyboard_alone(page, address):
    page.goto(address + EXPLAINER + "#steps=4&prompt=a+cat+on+a+beach+with+a+zebra")
    page.wait_for_selector("html[data-ready]")
    assert "zebra" in page.inner_text("#unknown")
    page.focus("#prompt")
    page.keyboard.press("Enter")
    page.wait_for_selector("#save:enabled")
    page.wait_for_selector("#verdict:visible")
    assert page.locator("#verdict tbody tr").count() == len(ABOUT["factors"])
    page.focus("#step")
    page.keyboard.press("Home")
    assert page.inner_text("#step-value").startswith("step 1 of 4")
    page.keyboard.press("End")
    page.focus("#attention-words button >> nth=2")
    page.keyboard.press("Space")
    assert "“on”" in page.inner_text("#attention-caption")
    page.focus("#doodle")
    for key in ("Space", "ArrowLeft", "Shift+ArrowDown"):
        page.keyboard.press(key)
    page.focus("#doodle-draw")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "document.querySelector('#doodle-news').textContent.includes('Drawn in')"
    )
    page.focus("[data-compare=scheduler]")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "document.querySelector('#compare-news').textContent.startsWith('Only that')"
    )
    with page.expect_download() as saved:
        page.focus("#save")
        page.keyboard.press("Enter")
    from imagegen.recipe import read_recipe

    assert read_recipe(saved.value.path()).steps == 4
    page.focus("#tab-short")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#deep")


def test_the_first_page_draws(page, address):
    page.goto(address)
    page.fill("#hero-prompt", "a lighthouse by the sea at night")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#hero-news').textContent.startsWith('Drawn')")
    assert "lighthouse" in page.get_attribute("#hero-explain", "href")
    assert foreign(page, address) == []


def test_a_quiz_answers_with_its_reason_and_remembers(page, address):
    page.goto(address + "quizzes/01_first_image.html")
    for letter in "AB":
        page.locator(f".quiz input[value={letter}]").first.check()
        reply = page.locator(".quiz .reply").first.inner_text()
        assert reply.startswith(f"{letter} is") and len(reply) > 60
    page.reload()
    assert page.locator(".quiz .reply").first.inner_text() == reply
    assert "1 answered" in page.locator(".score").first.inner_text()


class Links(HTMLParser):
    """The addresses and ids of a page, and its pictures without words."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.silent = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.ids |= {own.get("id"), own.get("name")}
        self.links += [own[key] for key in ("href", "src") if own.get(key)]
        if tag == "img" and not own.get("alt", "").strip() and own.get("aria-hidden") != "true":
            self.silent.append(own.get("src"))


def test_no_link_is_broken_and_every_picture_has_words(measured):
    known = {page: Links(HTML / page) for page in PAGES}
    broken, silent = [], []
    for page, own in known.items():
        silent += [(page, src) for src in own.silent]
        for link in own.links:
            if urlparse(link).scheme or link.startswith("//"):
                continue
            target, place = urldefrag(urljoin(page, link.split("?")[0]))
            target = target or page
            target += "index.html" if target.endswith("/") else ""
            if not (HTML / target).is_file():
                broken.append((page, link))
            elif place and target in known and place not in known[target].ids and "=" not in place:
                broken.append((page, link))
    measured["broken links"], measured["pictures without alt text"] = len(broken), len(silent)
    assert broken == [] and silent == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_and_no_page_asks_another_host(chromium, address, theme, measured):
    found, strangers = [], []
    for width in (1280, 390):
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=theme, service_workers="block"
        )
        page = watched(context.new_page())
        for name in PAGES if width > 400 else ("index.html", EXPLAINER, PAGES[0]):
            page.goto(address + name)
            page.wait_for_load_state("load")
            if name == EXPLAINER:
                page.wait_for_selector("html[data-ready]")
            page.wait_for_timeout(300)
            page.add_script_tag(path=NODE / "axe-core/axe.min.js")
            answer = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            for rule in answer["violations"]:
                found.append((name, width, rule["id"], [n["target"] for n in rule["nodes"]][:3]))
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is {wide} pixels too wide for {width}"
        strangers += foreign(page, address)
        assert page.errors == []
        context.close()
    measured[f"axe errors, {theme}"] = len(found)
    measured[f"foreign requests of all pages, {theme}"] = len(strangers)
    assert found == [] and strangers == []


def test_it_works_without_a_network_after_the_first_visit(chromium, address, measured):
    context = chromium.new_context()
    page = watched(context.new_page())
    page.goto(address + EXPLAINER + "#steps=2")
    page.wait_for_selector("html[data-ready]")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.reload()  # from now on the worker answers
    page.wait_for_selector("html[data-ready]")
    page.click("#draw")
    page.wait_for_selector("#verdict:visible")
    context.set_offline(True)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    page.click("#draw")
    page.wait_for_selector("#verdict:visible")
    threads = page.inner_text("#machine")
    measured["works with the network cut"] = "yes"
    measured["a second visit"] = threads
    assert page.evaluate("crossOriginIsolated")
    assert page.errors == []
    context.close()


def foreign(page, address):
    return [url for url in page.asked if not url.startswith((address, "blob:", "data:"))]
