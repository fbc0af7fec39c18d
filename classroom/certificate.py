"""A certificate for somebody who works alone: what they solved, and a picture they made.

It is one folder with certificate.json and certificate.html. The JSON is signed with a key that is
made on the same machine, so a change of it afterwards is found without asking any server. It does
not prove who did the work or that the sandbox was left alone: whoever has the key, the reader, can
sign anything. To know more, grade the notebooks again; their hashes stand in the certificate.
"""

import base64
import hashlib
import html
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from PIL import Image

from classroom import collect, pool, releases, sandbox
from classroom.states import NOT_FOUND
from imagegen import REPOSITORY

FORM = 1
PROVES = (
    "It says which notebooks were graded, by their hashes, what each earned, and when. The "
    "signature shows that nothing in it was changed after it was signed."
)
NOT = (
    "It does not prove who did the work, nor that the grading was not tampered with: it was signed "
    "on the reader's own machine. Anybody can grade the notebooks again and compare."
)


def award(root: Path, words) -> list[Path]:
    """Grade the folder of one reader and write the certificate; return the paths written.

    Raises ValueError if nothing can be graded, or if there is no sandbox and no --trust.
    """
    isolated = not sandbox.why_not()
    if not isolated and not words.trust:
        raise ValueError(
            f"There is no sandbox: {sandbox.why_not()}. Your own notebooks are yours to trust: "
            "add --trust."
        )
    if not words.folder.is_dir():
        raise ValueError(f"There is no folder {words.folder}.")
    chapters = []
    for quizzes in sorted(p for p in (root / "quizzes").iterdir() if p.is_dir()):
        chapter = _chapter(root, quizzes.name, words.folder, isolated)
        if chapter:
            chapters.append(chapter)
    if not chapters:
        raise ValueError(f"{words.folder} holds no notebook of the course that has an answer.")
    content = {
        "format": FORM,
        "course": "Image Generation with Diffusion Models",
        "repository": REPOSITORY,
        "name": words.name,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "chapters": chapters,
        "picture": picture(words.picture) if words.picture else None,
        "isolated": isolated,
        "proves": PROVES,
        "does_not_prove": NOT,
    }
    signed = sign(content, root / "grading" / "certificate-key")
    words.out.mkdir(parents=True, exist_ok=True)
    data, page = words.out / "certificate.json", words.out / "certificate.html"
    data.write_text(json.dumps(signed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page.write_text(_page(signed), encoding="utf-8")
    return [data, page]


def sign(content: dict, key_file: Path) -> dict:
    """The content with a signature; the key is made if the file does not exist yet."""
    if key_file.is_file():
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key_file.read_text().strip()))
    else:
        key = Ed25519PrivateKey.generate()
        key_file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(key.private_bytes_raw().hex())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    signature = key.sign(_bytes(content)).hex()
    return {"content": content, "signature": {"public_key": public, "ed25519": signature}}


def verify(path: Path) -> tuple[list[str], bool]:
    """Sentences on a certificate (the JSON or the page), and whether its signature holds."""
    try:
        text = path.read_text(encoding="utf-8")
        if "<script" in text or text.lstrip().startswith("<"):
            text = html.unescape(text.split("<pre id=json>")[1].split("</pre>")[0])
        signed = json.loads(text)
        content, signature = signed["content"], signed["signature"]
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature["public_key"]))
    except (OSError, UnicodeError, ValueError, KeyError, IndexError, TypeError) as error:
        return [f"{path} is no certificate ({error})."], False
    try:
        public.verify(bytes.fromhex(signature["ed25519"]), _bytes(content))
    except (InvalidSignature, ValueError):
        return [f"{path} was changed after it was signed: it is not valid."], False
    lines = [
        "The signature holds: nothing was changed since it was signed.",
        f"{content['name'] or 'No name'}, {content['date']}, key {signature['public_key'][:16]}",
    ]
    for chapter in content["chapters"]:
        parts = [
            f"{part['kind']} {part['points']:g} of {part['worth']:g}"
            for part in chapter["notebooks"]
        ]
        lines.append(f"{chapter['assignment']}: {', '.join(parts)}")
    return [*lines, content["proves"], content["does_not_prove"]], True


def picture(path: Path) -> dict:
    """A PNG as it is, with the recipe in it. Raises ValueError if it carries none."""
    data = path.read_bytes()
    try:
        with Image.open(path) as image:
            recipe = {k: v for k, v in image.info.items() if isinstance(v, str)}
            kind, size = image.format, list(image.size)
    except OSError:
        raise ValueError(f"{path} is no picture.") from None
    if kind != "PNG" or not recipe:
        raise ValueError(f"{path} carries no recipe: use a PNG that the course has saved.")
    return {
        "png": base64.b64encode(data).decode(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": size,
        "recipe": recipe,
    }


def _chapter(root, assignment, folder, isolated):
    """What a reader's folder earns in one chapter; None if there is no answer in it."""
    kept = [releases.keep(root, assignment)]
    files, _ = collect._files_of_folder(folder)
    files = [f for f in files if any(collect.same(part, assignment) for part in f.parts[:-1])]
    if not files:
        return None
    submission = collect._chosen("reader", files, [], assignment, kept)
    if all(data is None for data in submission.files.values()):
        return None
    ((_, result),) = pool.local(kept, [("reader", submission.files)], 1, isolated=isolated)
    notebooks = []
    for kind, part in sorted(result["notebooks"].items(), reverse=True):
        scores = [s for s in part["scores"].values()]
        if part["status"] == NOT_FOUND:
            continue
        notebooks.append(
            {
                "kind": kind,
                "points": sum(s[0] for s in scores),
                "worth": sum(s[1] for s in scores if not s[2]),
                "by_hand": sum(s[1] for s in scores if s[2]),
                "status": part["status"],
                "reason": part["reason"],
                "sha256": hashlib.sha256(submission.files[kind]).hexdigest(),
            }
        )
    answered = any(p["answers"] for p in result["notebooks"].values())
    return (
        {"assignment": assignment, "release": kept[0].version, "notebooks": notebooks}
        if answered
        else None
    )


def _bytes(content):
    """The content as bytes that are the same everywhere."""
    return json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def _page(signed):
    content = signed["content"]
    rows = ""
    for chapter in content["chapters"]:
        cells = ""
        for part in chapter["notebooks"]:
            note = "" if part["status"] == "graded" else f" ({part['status']})"
            share = 100 * part["points"] / part["worth"] if part["worth"] else 0
            cells += (
                f"<td>{html.escape(part['kind'])}</td><td class=n>{part['points']:g} of "
                f"{part['worth']:g}{html.escape(note)}</td>"
                f'<td class=bar><svg viewBox="0 0 100 8" preserveAspectRatio="none">'
                f'<rect width="100" height="8" rx="2" fill="#e6ecea"/>'
                f'<rect width="{share:.0f}" height="8" rx="2" fill="#2f7d6d"/></svg></td>'
            )
        name = chapter["assignment"].replace("_", " ")
        rows += f"<tr><th>{html.escape(name)}</th>{cells}</tr>"
    shown = ""
    if content["picture"]:
        recipe = content["picture"]["recipe"]
        text = recipe.get("parameters") or next(iter(recipe.values()))
        shown = (
            f'<figure><img src="data:image/png;base64,{content["picture"]["png"]}" '
            f'alt="A picture drawn by the reader">'
            f"<figcaption>{html.escape(text)}</figcaption></figure>"
        )
    who = html.escape(content["name"]) or "A reader"
    data = html.escape(json.dumps(signed, ensure_ascii=False))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Certificate: {who}</title><style>
body {{ margin: 0; background: #f4f6f5; color: #22302d;
  font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }}
main {{ max-width: 46rem; margin: 2.5rem auto; background: #fff; border-radius: 16px;
  padding: 3rem; box-shadow: 0 2px 10px rgba(20, 40, 35, .1); }}
.over {{ color: #2f7d6d; font-weight: 600; margin: 0; }}
h1 {{ font-size: 2.4rem; margin: .2rem 0; letter-spacing: -.02em; }}
figure {{ margin: 1.8rem 0; text-align: center; }}
img {{ width: 20rem; max-width: 100%; border-radius: 12px; image-rendering: auto; }}
figcaption, .small {{ color: #64736f; font-size: .86rem; white-space: pre-line; }}
table {{ border-collapse: collapse; width: 100%; margin: 1.5rem 0; }}
th, td {{ text-align: left; padding: .45rem .7rem .45rem 0; border-top: 1px solid #e6ecea; }}
th {{ text-transform: capitalize; }} .n {{ white-space: nowrap; }} .bar {{ width: 5rem; }}
svg {{ width: 100%; height: 8px; display: block; }}
pre {{ white-space: pre-wrap; word-break: break-all; font-size: .7rem; color: #64736f; }}
</style></head><body><main>
<p class=over>{html.escape(content["course"])}</p><h1>{who}</h1>
<p>{html.escape(content["date"])}, graded by the course's own tests</p>
{shown}<table>{rows}</table>
<p><b>What this proves.</b> {html.escape(content["proves"])}</p>
<p><b>What it does not prove.</b> {html.escape(content["does_not_prove"])}</p>
<p class=small>Check it in a clone of the course: python -m classroom verify certificate.html</p>
<details><summary class=small>The signed content</summary><pre id=json>{data}</pre></details>
</main></body></html>
"""
