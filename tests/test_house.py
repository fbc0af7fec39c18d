"""The parts of the repository agree: tables, folders, commands, versions, the one address."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import imagegen
from classroom import publish

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOP_LEVEL = {
    "README.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "LICENSE",
    "LICENSE-CONTENT",
    "requirements.txt",
    "pyproject.toml",
    "Makefile",
    "nbgrader_config.py",
    "chapters",
    "solutions",
    "quizzes",
    "assets",
    "imagegen",
    "classroom",
    "site",
    "tests",
}


def git(*words, root=ROOT):
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)


def tracked():
    return git("ls-files").stdout.splitlines()


def topics(pattern):
    return {path.stem for path in ROOT.glob(pattern) if re.match(r"\d\d_", path.name)}


def test_chapters_solutions_quizzes_and_readme_name_the_same_topics():
    chapters = topics("chapters/*.ipynb")
    assert chapters
    assert topics("solutions/items/*.yaml") == chapters
    assert topics("solutions/*") == chapters
    assert topics("quizzes/*") == chapters
    rows = re.findall(
        r"^\| \[(\d+)\..*\]\(chapters/(\w+)\.ipynb\) \|.*quizzes/(\w+)\) \|$", README, re.M
    )
    assert [topic for _, topic, _ in rows] == sorted(chapters)
    assert all(topic == quiz and int(number) == int(topic[:2]) for number, topic, quiz in rows)


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!https:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^(\w[\w-]*):", MAKEFILE, re.M)


def test_every_command_of_a_page_exists():
    pages = ["README.md", "CONTRIBUTING.md", "solutions/README.md"]
    named = {
        word
        for page in pages
        for word in re.findall(
            r"(?:`|^ {4})make ([\w-]+)", (ROOT / page).read_text(encoding="utf-8"), re.M
        )
    }
    assert {"lab", "test", "studio", "check"} <= named <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_command_says_what_it_does(target):
    assert re.search(rf"^{target}: .*## \w", MAKEFILE, re.M)
    assert re.search(rf"^\.PHONY: .*\b{target}\b", MAKEFILE, re.M)
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_readme_names_the_two_commands():
    assert "    make lab\n" in README and "`make test`" in README


def test_ci_calls_the_readme_command():
    assert re.search(r"^make test$", (ROOT / ".ci/run").read_text(), re.M)
    assert "bash .ci/run" in (ROOT / ".github/workflows/test.yml").read_text()


def test_the_top_level_holds_these_names_alone():
    found = {name.split("/")[0] for name in tracked()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL
    listed = set(re.findall(r"^    ([\w.]+)/? {2,}", README.split("## Map")[1], re.M))
    assert listed == {name for name in TOP_LEVEL if not re.match("README|LICENSE", name)}


def test_the_address_is_set_in_one_place():
    """Everywhere else it is stamped: stamping a second address finds every occurrence."""
    other, places = "https://github.com/someone/course", []
    for name in tracked():
        path = ROOT / name
        if not path.is_file() or path.suffix in {".jpg", ".png", ".safetensors"}:
            continue
        text = path.read_text(encoding="utf-8")
        if imagegen.REPOSITORY.removeprefix("https://github.com/") in publish.stamp(
            text, other, "v2"
        ):
            places.append(name)
    assert places == ["imagegen/__init__.py"]


@pytest.mark.parametrize("path", publish.stamped_files(), ids=lambda path: path.name)
def test_everything_is_stamped(path):
    name = path.relative_to(ROOT).as_posix() if path.suffix == ".ipynb" else None
    text = path.read_text(encoding="utf-8")
    assert publish.stamp(text, path=name) == text, "run `make stamp`"


def requirements():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if not line.startswith("#")]


def test_requirements_are_exact_and_installed():
    *exact, last = requirements()
    assert last == "-e ."
    for requirement in map(Requirement, exact):
        assert [mark.operator for mark in requirement.specifier] == ["=="]
        assert requirement.specifier.contains(importlib.metadata.version(requirement.name))


def test_requirements_satisfy_the_package():
    """Read from pyproject.toml: the metadata of an installed package may be older."""
    exact = {r.name: next(iter(r.specifier)).version for r in map(Requirement, requirements()[:-1])}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    for requirement in map(Requirement, needed):
        assert requirement.specifier.contains(exact[requirement.name]), requirement


def test_the_environment_is_consistent():
    subprocess.run([sys.executable, "-m", "pip", "check"], check=True)


@pytest.mark.parametrize(
    "command",
    [
        "check .",
        "format --check imagegen classroom tests nbgrader_config.py",
        "format --check --line-length 80 chapters solutions",
    ],
)
def test_style(command):
    """The style of the code; where it fails, the same command without --check (or --fix) mends."""
    ruff = [sys.executable, "-m", "ruff", *command.split(), "--quiet"]
    done = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# Where each part of the package stands: it imports from its own place and from those above it in
# this list, never from below.
FLOORS = [
    ["progress", "device", "pictures", "storybook", "schedule", "quiz", "diagram"],
    ["recipe", "masks", "latent", "models", "mixture", "guide", "train", "attention"],
    ["sample", "digits", "sprites", "pipeline", "measure", "upscale"],
    ["edit", "draw"],
    ["experiment", "api"],
    ["studio", "training"],
]


def modules():
    """The source of each module of the two packages, by its name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): (
            path.read_text(encoding="utf-8")
        )
        for package in ("imagegen", "classroom")
        for path in ROOT.glob(f"{package}/**/*.py")
    }


def imports(text, known):
    """The modules among `known` that a module's source imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found & set(known) - {"imagegen", "classroom"}


def test_the_modules_import_only_downward():
    sources = modules()
    floor = {part: number for number, parts in enumerate(FLOORS) for part in parts}
    wrong = []
    for name, text in sources.items():
        package, *rest = name.split(".")
        for need in imports(text, sources):
            below, *inner = need.split(".")
            if package == "imagegen" and below == "classroom":
                wrong.append(f"{name} imports {need}")
            if package == below == "imagegen" and rest and rest[0] != inner[0]:
                if floor[rest[0]] < floor[inner[0]]:
                    wrong.append(f"{name} imports {need}")
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    sources = modules()
    needs = {
        name: {need for need in imports(text, sources) if not name.startswith(need + ".")}
        for name, text in sources.items()
    }
    while ready := {name for name, below in needs.items() if not below & needs.keys()}:
        needs = {name: below for name, below in needs.items() if name not in ready}
    assert needs == {}
    assert "imagegen.utils" not in sources
    star = [name for name, text in sources.items() if re.search(r"^from .* import \*", text, re.M)]
    assert star == []
