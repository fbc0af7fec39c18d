"""The `parameters` text in which AUTOMATIC1111 and its descendants keep a picture's recipe.

    a castle at dawn
    Negative prompt: snow
    Steps: 20, CFG scale: 5.0, Seed: 7, Size: 128x128

The last line counts as settings when it holds three pairs or more; a value with a comma, colon,
quotation mark or line break is quoted as JSON. Source: modules/infotext_utils.py of that program.
"""

import json
import re

NEGATIVE = "Negative prompt:"

# Our name in a recipe: the name in the text, and the type of its value.
NAMES = {
    "steps": ("Steps", int),
    "scheduler": ("Sampler", str),
    "guidance": ("CFG scale", float),
    "seed": ("Seed", int),
    "model": ("Model", str),
    "strength": ("Denoising strength", float),
}
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def write_infotext(recipe: dict, size: tuple[int, int], version: str) -> str:
    """The text for a recipe with at least a prompt; size: (width, height) of the picture."""
    lines = [recipe["prompt"]]
    if recipe.get("negative_prompt"):
        lines.append(f"{NEGATIVE} {recipe['negative_prompt']}")
    pairs = {name: recipe[key] for key, (name, _) in NAMES.items() if recipe.get(key) is not None}
    pairs |= {"Size": f"{size[0]}x{size[1]}", "Version": f"imagegen {version}"}
    if len(pairs) < 3:  # fewer would be read as a line of the prompt
        pairs["Batch size"] = 1
    lines.append(", ".join(f"{name}: {_quote(value)}" for name, value in pairs.items()))
    # A lone surrogate is legal in a Python string, but in no file.
    return "\n".join(lines).encode("utf-8", "replace").decode()


def read_infotext(text: str) -> dict:
    """The recipe in a text; settings that we have no name for keep theirs, as text."""
    *lines, last = text.strip().split("\n")
    pairs = PAIR.findall(last)
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    lines = [line.strip() for line in lines]
    start = next((i for i, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    recipe = {"prompt": "\n".join(lines[:start])}
    if start < len(lines):
        recipe["negative_prompt"] = "\n".join(lines[start:]).removeprefix(NEGATIVE).strip()
    ours = {name: (key, kind) for key, (name, kind) in NAMES.items()}
    for name, value in pairs:
        value = _unquote(value)
        if name == "Size" and re.fullmatch(r"\d+x\d+", value):
            recipe["width"], recipe["height"] = map(int, value.split("x"))
            continue
        key, kind = ours.get(name, (name, str))
        try:
            recipe[key] = kind(value)
        except ValueError:
            recipe[key] = value
    return recipe


def _quote(value) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:"\n\r]', text) else text


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text.strip()
    try:
        return str(json.loads(text))
    except ValueError:
        return text
