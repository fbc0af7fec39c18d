"""Experiments: complete, measured, never lost, and as fast as plain calls."""

import csv
import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_sd import build

import imagegen.experiment as module
from imagegen.draw import draw_recipes, recipe_of, redraw_file
from imagegen.experiment import (
    combinations,
    configure,
    effects,
    experiment,
    load_experiment,
    resume,
    sheet,
)
from imagegen.measure import matches, mean_interval, seed_diversity, wilson
from imagegen.models import load_pipeline, settings
from imagegen.recipe import SCHEDULERS, Recipe, read_recipe, save
from imagegen.storybook import caption, random_scene

SMALL = {"prompt": "a cat", "size": 16, "steps": 2}
HOUSE = "a red cottage in a meadow at night"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def tiny(tiny_folder):
    return load_pipeline(str(tiny_folder), device="cpu")


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline(device="cpu")


def pixels(image):
    return np.asarray(image, int)


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# -- configure -> generate -> visualise -> compare ---------------------------------------------


def test_every_combination_is_drawn_and_kept_with_its_recipe(tiny, tmp_path):
    lab = experiment(tiny, tmp_path, **SMALL, guidance=[1, 5], seed=range(3))
    assert lab.varied == {"guidance": [1, 5], "seed": [0, 1, 2]}
    assert [(r["guidance"], r["seed"]) for r in lab.rows] == [
        (w, s) for w in (1, 5) for s in (0, 1, 2)
    ]
    assert {p.suffix for p in lab.folder.iterdir()} == {".png", ".csv", ".json"}
    for row in lab.rows:
        recipe = read_recipe(lab.folder / row["file"])
        file = {"file": row["file"], "seconds": recipe.notes["seconds"]}
        assert recipe.to_dict() | file == row
    with (lab.folder / "table.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["file"] for row in table] == [row["file"] for row in lab.rows]
    assert len({image.tobytes() for image in lab.images}) == 6


def test_the_grid_names_rows_and_columns(tiny, tmp_path):
    lab = experiment(
        tiny, tmp_path, **SMALL | {"steps": [1, 2]}, scheduler=["DDIM", "Euler", "Heun"]
    )
    kept = Image.open(lab.folder / "grid.png")
    assert kept.size == sheet(lab, width=None).size
    assert kept.width > 3 * 16 and kept.height > 2 * 16


def test_any_picture_is_drawn_again_from_its_own_file(pipe, tmp_path):
    given = {"prompt": [HOUSE, "a cat"], "negative_prompt": "snow", "seed": [3, 4], "steps": 4}
    lab = experiment(pipe, tmp_path, scheduler=["Euler a", "UniPC"], **given)
    for row, image in zip(lab.rows, lab.images, strict=True):
        again = redraw_file(pipe, lab.folder / row["file"])
        assert abs(pixels(again) - pixels(image)).max() <= 1


def test_a_batch_draws_what_single_calls_draw(pipe):
    prompts = [HOUSE, "a boat on a beach", "a robot in a city"]
    plan = [recipe_of(pipe, prompt=p, seed=s, steps=4) for s, p in enumerate(prompts)]
    for number, image, _ in draw_recipes(pipe, plan):
        start = torch.Generator().manual_seed(number)
        options = settings(pipe) | {"num_inference_steps": 4}
        alone = pipe(prompts[number], generator=start, **options).images[0]
        assert abs(pixels(image) - pixels(alone)).max() <= 1


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_draws_and_is_not_left_behind(pipe, tmp_path, name, capfd):
    own, config = pipe.scheduler, dict(pipe.scheduler.config)
    lab = experiment(pipe, tmp_path, prompt=HOUSE, steps=10, seed=[0, 1], scheduler=name)
    assert pipe.scheduler is own and dict(own.config) == config
    reference = experiment(pipe, tmp_path, prompt=HOUSE, steps=10, seed=[0, 1])
    other = [
        abs(pixels(a) - pixels(b)).mean() for a, b in zip(lab.images, reference.images, strict=True)
    ]
    assert max(other) < 60  # the same scene or another one, but no noise and no grey
    assert capfd.readouterr().err == ""


def test_the_table_of_effects(tiny, tmp_path):
    lab = experiment(tiny, tmp_path, **SMALL, guidance=[1, 5], seed=range(4))
    low, high = effects(lab, "guidance")
    assert (low["guidance"], low["n"], low["distance"][0]) == (1, 4, 0)
    assert high["distance"][1] <= high["distance"][0] <= high["distance"][2]
    assert high["diversity"][1] <= high["diversity"][0] <= high["diversity"][2]
    assert high["fidelity"] is None  # the oracle knows only Storybook
    assert high["seconds"] == pytest.approx(np.mean([row["seconds"] for row in lab.rows[4:]]))
    assert [row["distance"][0] for row in effects(lab, "guidance", 5)][1] == 0
    assert [row["diversity"] for row in effects(lab, "seed")] == [None] * 4
    with pytest.raises(ValueError, match="steps does not vary here; these do: guidance, seed"):
        effects(lab, "steps")
    with pytest.raises(ValueError, match="9 is none of the values of guidance"):
        effects(lab, "guidance", 9)


def test_intervals_cover_the_truth():
    """Of 200 samples of normal features, about 95 % of the intervals hold the true values."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, 8, 1, generator=g)
    truth = 2 / np.pi**0.5  # the mean distance of two numbers from N(0, 1)
    means = [mean_interval(some) for some in x]
    assert 0.9 < np.mean([low < 0 < high for _, low, high in means]) < 0.99
    spreads = [seed_diversity(some) for some in x]
    assert 0.88 < np.mean([low < truth < high for _, low, high in spreads]) < 0.995
    with pytest.raises(ValueError, match="3 or more seeds"):
        seed_diversity(x[0, :2])
    with pytest.raises(ValueError, match="two numbers or more"):
        mean_interval(torch.ones(1))


# -- one clear sentence ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"size": 60}, "width must be a multiple of 8, such as 56 or 64, not 60."),
        ({"width": 128, "height": 20}, "height must be a multiple of 8, such as 16 or 24"),
        ({"size": 64, "width": 64}, "give size, or the two, not both"),
        ({"size": "64"}, "width must be a whole number from 8 to 4096, not '64'"),
        ({"scheduler": "Eulr"}, "There is no scheduler 'Eulr': use one of DPM-Solver\\+\\+, UniPC"),
        ({"guidance": [1, -1]}, "guidance must be a number from 0 to 30, not -1"),
        ({"guidance": "high"}, "guidance must be a number from 0 to 30, not 'high'"),
        ({"steps": 0}, "steps must be a whole number from 1 to 1000, not 0"),
        ({"steps": True}, "steps must be a whole number from 1 to 1000, not True"),
        ({"seed": [1, -2]}, "seed must be a whole number from 0 to 4294967295, not -2"),
        ({"steps": 1001}, "steps must be a whole number from 1 to 1000, not 1001"),
        ({"seed": 2**64}, "seed must be a whole number from 0 to 4294967295"),
        ({"seed": []}, "seed varies over nothing"),
        ({"prompt": 7}, "prompt must be a text in quotes, not 7"),
        ({"guidence": 5}, "There is no setting guidence: did you mean guidance?"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_gets_one_sentence_and_no_folder(pipe, tmp_path, given, says):
    with pytest.raises(ValueError, match=says) as error:
        experiment(pipe, tmp_path, **{"prompt": "a cat"} | given)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_numbers(tiny, tmp_path):
    lab = experiment(tiny, tmp_path, **SMALL, guidance=np.linspace(1, 3, 2), seed=np.arange(2))
    assert lab.varied == {"guidance": [1.0, 3.0], "seed": [0, 1]}


def test_the_prompt_is_missed(pipe, tmp_path):
    with pytest.raises(ValueError, match="The prompt is missing"):
        experiment(pipe, tmp_path, seed=[1, 2])


def test_a_file_that_cannot_be_read_gets_one_sentence(pipe, tiny, tmp_path):
    with pytest.raises(ValueError, match="There is no file"):
        redraw_file(pipe, tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="is no picture, or a damaged one"):
        redraw_file(pipe, tmp_path / "text.png")
    other = save(Image.new("RGB", (16, 16)), Recipe("a cat", model=""), tmp_path)
    with pytest.raises(ValueError, match="is one of a model that it does not name"):
        redraw_file(pipe, other)
    lab = experiment(tiny, tmp_path, **SMALL)
    with pytest.raises(ValueError, match="is one of tiny, and the pipeline is storybook-sd"):
        redraw_file(pipe, lab.folder / lab.rows[0]["file"])
    with pytest.raises(ValueError, match="holds no experiment: there is no plan.json"):
        load_experiment(tmp_path)
    for text in ("{", "[]", "null", "3"):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(ValueError, match="plan.json cannot be read"):
            load_experiment(tmp_path)


# -- nothing is lost ---------------------------------------------------------------------------


def test_nothing_is_written_over(tiny, tmp_path):
    first = experiment(tiny, tmp_path, **SMALL, seed=[1, 2])
    before = files(first.folder)
    second = experiment(tiny, tmp_path, **SMALL, seed=[1, 2])
    assert second.folder != first.folder
    resume(tiny, first.folder)
    assert files(first.folder) == before


KILLED = """
import sys
from imagegen.experiment import experiment
from imagegen.models import load_pipeline

pipe = load_pipeline(sys.argv[1], device="cpu")
experiment(pipe, sys.argv[2], batch=1, prompt="a cat", size=32, steps=30, seed=range(16))
"""


def test_a_killed_experiment_loses_no_picture_and_is_resumed(tiny, tiny_folder, tmp_path):
    command = [sys.executable, "-c", KILLED, str(tiny_folder), str(tmp_path)]
    process = subprocess.Popen(command)
    for _ in range(1200):
        if len(list(tmp_path.glob("*/*.png"))) >= 4 or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (folder,) = tmp_path.iterdir()
    before = files(folder)
    lab = load_experiment(folder)
    drawn = [row for row in lab.rows if row["file"]]
    assert 3 <= len(drawn) < 16  # the last file may be half a picture
    assert len(drawn) >= len(list(folder.glob("*.png"))) - 1
    assert sheet(lab).width > 16 * 32  # can be looked at meanwhile
    with pytest.raises(ValueError, match="Pictures are missing: resume"):
        effects(lab, "seed")
    lab = resume(tiny, folder)
    assert all(row["file"] for row in lab.rows)
    assert before.items() <= files(folder).items()
    assert {"grid.png", "table.csv"} <= set(files(folder))


def test_a_plan_with_a_byte_order_mark_is_read(tiny, tmp_path):
    lab = experiment(tiny, tmp_path, **SMALL, seed=[1, 2])
    plan = lab.folder / "plan.json"
    plan.write_text(plan.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load_experiment(lab.folder).rows == lab.rows


def test_two_processes_that_finish_one_experiment_keep_each_others_files(
    tiny, tmp_path, monkeypatch
):
    """The other one writes its table between our look and our writing."""
    lab = experiment(tiny, tmp_path, **SMALL, seed=[1, 2])
    (lab.folder / "table.csv").unlink()

    def slow(lab):
        (lab.folder / "table.csv").write_text("theirs")
        return b"ours"

    monkeypatch.setattr(module, "_table", slow)
    resume(tiny, lab.folder)
    assert (lab.folder / "table.csv").read_text() == "theirs"


def test_half_a_picture_is_drawn_anew_and_left_where_it_is(tiny, tmp_path):
    lab = experiment(tiny, tmp_path, **SMALL, seed=[1, 2])
    victim = lab.folder / lab.rows[0]["file"]
    victim.write_bytes(victim.read_bytes()[:100])
    again = resume(tiny, lab.folder)
    assert victim.stat().st_size == 100
    assert again.rows[0]["file"] != victim.name and again.rows[1] == lab.rows[1]
    assert again.images[0].tobytes() != again.images[1].tobytes()


def test_stop_keeps_what_is_drawn(tiny, tmp_path, capsys, monkeypatch):
    calls = []

    def interrupted(*args, **notes):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return save(*args, **notes)

    monkeypatch.setattr(module, "save", interrupted)
    lab = experiment(tiny, tmp_path, **SMALL, seed=range(5))
    said = capsys.readouterr().out
    assert (
        said
        == f"Stopped: 2 of 5 pictures are kept. resume(pipe, {str(lab.folder)!r}) draws the rest.\n"
    )
    assert sum(bool(row["file"]) for row in lab.rows) == 2
    assert "grid.png" not in files(lab.folder)
    assert all(row["file"] for row in resume(tiny, lab.folder).rows)


@pytest.mark.parametrize("allowed", [0, 1, 3, 5, 6])
def test_a_full_disk_gets_one_sentence_and_loses_nothing(tiny, tmp_path, monkeypatch, allowed):
    """plan.json, four pictures, grid and table; the disk is full after `allowed` of them."""
    written = []
    plain_open, plain_text, plain_save = Path.open, Path.write_text, Image.Image.save

    def full(path):
        if Path(path).parent.parent != tmp_path:
            return
        written.append(path)
        if len(written) > allowed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(path, mode="r", *args, **kwargs):
        if "x" in mode:
            full(path)
        return plain_open(path, mode, *args, **kwargs)

    def text(path, *args, **kwargs):
        full(path)
        return plain_text(path, *args, **kwargs)

    def saved(image, path, *args, **kwargs):
        if isinstance(path, Path):
            full(path)
        return plain_save(image, path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(Path, "write_text", text)
    monkeypatch.setattr(Image.Image, "save", saved)
    with pytest.raises(OSError, match="No space left on device") as error:
        experiment(tiny, tmp_path, **SMALL, seed=range(4))
    drawn = min(max(allowed - 1, 0), 4)
    kept = "Nothing is drawn yet" if not allowed else "All 4 pictures are kept"
    assert (f"{drawn} of 4 pictures are kept; make room" if 0 < allowed < 5 else kept) in str(
        error.value
    )
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    (folder,) = tmp_path.iterdir()
    if allowed:
        assert sum(bool(row["file"]) for row in load_experiment(folder).rows) == drawn
        assert all(row["file"] for row in resume(tiny, folder).rows)
        assert {"grid.png", "table.csv"} <= set(files(folder))


def test_a_folder_that_cannot_be_gets_one_sentence(tiny, tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(OSError, match="results takes no file .* Nothing is drawn yet."):
        experiment(tiny, tmp_path / "results", **SMALL)


# -- as fast as plain calls --------------------------------------------------------------------


def seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began


BATCHES = {
    "prompt": [f"a {c} cat" for c in ("red", "green", "blue", "white", "purple", "yellow")],
    "seed": list(range(6)),
    "steps": 2,
}
ONE_BY_ONE = {"prompt": HOUSE, "guidance": [2, 3, 4, 5, 6, 7], "steps": [1, 2, 3, 4, 5, 6]}


@pytest.mark.parametrize("given", [BATCHES, ONE_BY_ONE], ids=["in batches", "one by one"])
def test_an_xy_plot_takes_no_longer_than_plain_calls(pipe, tmp_path, given):
    """Prompts against seeds go in batches; guidance against steps cannot. Time of the processor.

    The best of three: what else the machine does slows one side or the other.
    """
    plan = combinations(configure(pipe, **given))
    assert len(plan) == 36

    def plain_calls():
        for r in plan:
            start = torch.Generator().manual_seed(r["seed"])
            options = {"num_inference_steps": r["steps"], "guidance_scale": r["guidance"]}
            pipe(r["prompt"], height=128, width=128, generator=start, **options)

    pipe(HOUSE, num_inference_steps=1)  # whatever is done only once
    ratios = []
    while len(ratios) < 3 and min(ratios, default=2) > 1.15:
        folder = tmp_path / str(len(ratios))
        plain, ours = seconds(plain_calls), seconds(lambda to=folder: experiment(pipe, to, **given))
        ratios.append(ours / plain)
    print(f"time against plain calls: {ratios}")
    assert min(ratios) <= 1.15


# -- what the settings do ----------------------------------------------------------------------


def drawn(pipe, prompts, **given):
    plan = [recipe_of(pipe, prompt=p, seed=seed, **given) for seed, p in enumerate(prompts)]
    images = [None] * len(plan)
    for number, image, _ in draw_recipes(pipe, plan, 16):
        images[number] = image
    return torch.tensor(matches(images, prompts)).double(), images


def test_too_much_guidance_costs_fidelity_and_shuffled_prompts_are_at_chance(pipe):
    """64 scenes of pairs that training never showed, the same noise at the default and w = 20."""
    rng = random.Random(1)
    prompts = [caption(random_scene(rng, True), rng) for _ in range(64)]
    burnt, _ = drawn(pipe, prompts, steps=6, guidance=20)
    guided, images = drawn(pipe, prompts, steps=6)
    assert mean_interval(guided - burnt)[1] > 0
    shuffled = sum(matches(images, prompts[1:] + prompts[:1]))
    assert wilson(shuffled, 64)[1] < wilson(int(guided.sum()), 64)[0]
    assert wilson(shuffled, 64)[0] < 0.02  # chance: two scenes in a row alike are rarer


def test_diversity_falls_with_guidance(pipe, tmp_path):
    given = {"prompt": ["a cottage in a meadow", "a castle at night", HOUSE], "seed": range(6)}
    lab = experiment(pipe, tmp_path, guidance=[1, 5], steps=6, **given)
    free, guided = (row["diversity"] for row in effects(lab, "guidance"))
    assert guided[2] < free[0] and guided[0] < free[1]


def test_steps_reach_a_plateau(pipe):
    rng = random.Random(0)
    prompts = [caption(random_scene(rng), rng) for _ in range(20)]
    (few, _), (some, a), (many, b) = (drawn(pipe, prompts, steps=n) for n in (1, 10, 20))
    assert mean_interval(some - few)[1] > 0
    low, high = mean_interval(many - some)[1:]
    assert low <= 0 <= high
    gaps = [abs(pixels(x) - pixels(y)).mean() for x, y in zip(a, b, strict=True)]
    assert np.median(gaps) < 12  # the same picture, a little more worked out
