"""The local server under load, and in front of everything that is no request."""

import base64
import http.client
import io
import json
import random
import struct
import threading
import time
import zlib
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from PIL import Image

from imagegen.masks import to_transparent

SECONDS = 15  # of load; the course's own measurement ran for 60
CLIENTS = 8


def png(image=None, **options):
    data = io.BytesIO()
    (image or Image.new("RGB", (128, 128), "navy")).save(data, "PNG", **options)
    return data.getvalue()


def bomb():
    """A PNG of some kB that claims 30,000 x 30,000 pixels and holds as many zeros."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    packer = zlib.compressobj(9)
    zeros = b"".join(packer.compress(bytes(1_000_000)) for _ in range(20)) + packer.flush()
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def text_bomb():
    """A PNG whose comment unpacks to 60 MB."""
    data = png()
    packed = b"a\0\0" + zlib.compress(bytes(60_000_000))
    body = b"zTXt" + packed
    chunk = struct.pack(">I", len(packed)) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


def form(*parts):
    """The body of a form: each part (name, data) or (name, data, file name)."""
    lines = []
    for name, data, *file in parts:
        about = f'form-data; name="{name}"' + (f'; filename="{file[0]}"' if file else "")
        lines.append(f"--edge\r\nContent-Disposition: {about}\r\n\r\n".encode())
        lines += [data if isinstance(data, bytes) else data.encode(), b"\r\n"]
    return b"".join([*lines, b"--edge--\r\n"])


def edit(*parts, image=None):
    """An edit that is right but for its parts."""
    first = [("image", image or png(), "a.png")] if image != b"" else []
    return form(("model", "storybook-sd"), ("prompt", "a cat"), *first, *parts)


RIGHT = {"model": "storybook-sd", "prompt": "a cat"}
JSON, FORM = "application/json", "multipart/form-data; boundary=edge"
MASK = png(to_transparent(Image.new("RGB", (128, 128)), Image.new("L", (128, 128), 255)))
SMALL, FULL = png(Image.new("L", (64, 64))), png(Image.new("RGBA", (128, 128), "red"))
G, E, R = "images/generations", "images/edits", "responses"


def picture_body(**given):
    return json.dumps(RIGHT | given)


def text_body(**given):
    return json.dumps({"model": "storybook-grammar"} | given)


GARBAGE = {
    "no body": (G, JSON, ""),
    "no JSON": (G, JSON, "prompt=a cat"),
    "half of it": (G, JSON, picture_body()[:-5]),
    "bytes that are no text": (G, JSON, b'{"prompt": "\xff\xfe"}'),
    "a list": (G, JSON, "[1, 2]"),
    "a number": (G, JSON, "7"),
    "null": (G, JSON, "null"),
    "a deep nest": (G, JSON, '{"a":' * 100_000),
    "three megabytes": (G, JSON, picture_body(user="a" * 3_000_000)),
    "another content type": (G, "text/plain", picture_body()),
    "no content type": (G, "", picture_body()),
    "a form where JSON belongs": (G, FORM, edit()),
    "NaN": (G, JSON, picture_body(guidance=float("nan"))),
    "infinity": (G, JSON, picture_body()[:-1] + ', "guidance": 1e999}'),
    "a huge n": (G, JSON, picture_body(n=10**30)),
    "a number of 10,000 digits": (G, JSON, picture_body()[:-1] + ', "n": ' + "9" * 10_000 + "}"),
    "n below 0": (G, JSON, picture_body(n=-1)),
    "n in words": (G, JSON, picture_body(n="two")),
    "a true n": (G, JSON, picture_body(n=True)),
    "a list of prompts": (G, JSON, picture_body(prompt=["a cat"])),
    "an object for a model": (G, JSON, picture_body(model={"id": "storybook-sd"})),
    "half a surrogate pair": (G, JSON, '{"model": "storybook-sd", "prompt": "\\ud800"}'),
    "such a model": (G, JSON, '{"model": "\\udfff", "prompt": "a cat"}'),
    "a path for a model": (G, JSON, picture_body(model="../../../etc/passwd")),
    "a null byte in the model": (G, JSON, picture_body(model="storybook-sd\0")),
    "a huge size": (G, JSON, picture_body(size="99999x99999")),
    "a strange size": (G, JSON, picture_body(size="١٢٨x١٢٨")),
    "a million steps": (G, JSON, picture_body(steps=1_000_000)),
    "no prompt": (G, JSON, json.dumps({"model": "storybook-sd"})),
    "no model": (G, JSON, json.dumps({"prompt": "a cat"})),
    "twice the wrong thing": (G, JSON, picture_body(seed=-1, size=7)),
    "an edit as JSON without an image": (E, JSON, picture_body()),
    "a form of another kind": (E, "text/plain", edit()),
    "a form without an edge": (E, "multipart/form-data", edit()),
    "another edge": (E, "multipart/form-data; boundary=other", edit()),
    "half a form": (E, FORM, edit()[:-30]),
    "a form of noise": (E, FORM, random.Random(0).randbytes(5000)),
    "no image": (E, FORM, edit(image=b"")),
    "a text for an image": (E, FORM, edit(("image", "a.png"), image=b"")),
    "an empty image": (E, FORM, edit(("image", b"", "a.png"), image=b"")),
    "a truncated PNG": (E, FORM, edit(image=png(Image.effect_noise((128, 128), 90))[:-3000])),
    "noise for an image": (E, FORM, edit(image=random.Random(1).randbytes(3000))),
    "a GIF": (E, FORM, edit(image=b"GIF89a" + bytes(50))),
    "an SVG": (E, FORM, edit(image=b"<svg xmlns='http://www.w3.org/2000/svg'/>")),
    "a bomb": (E, FORM, edit(image=bomb())),
    "a bomb of text": (E, FORM, edit(image=text_bomb())),
    "17 images": (E, FORM, edit(*[("image[]", png(), "a.png")] * 16)),
    "50 images": (E, FORM, edit(*[("image[]", png(), "a.png")] * 49)),
    "an image of 51 MB": (E, FORM, edit(image=png() + bytes(51_000_000))),
    "a mask of another size": (E, FORM, edit(("mask", MASK, "m.png"), image=SMALL)),
    "a mask without alpha": (E, FORM, edit(("mask", png(), "m.png"))),
    "a mask that masks nothing": (E, FORM, edit(("mask", FULL, "m.png"))),
    "a mask of 5 MB": (E, FORM, edit(("mask", MASK + bytes(5_000_000), "m.png"))),
    "a truncated mask": (E, FORM, edit(("mask", MASK[:60], "m.png"))),
    "two masks": (E, FORM, edit(*[("mask", MASK, "m.png")] * 2)),
    "a path for a file": (E, FORM, edit(("image", b"x", "../../etc/passwd"), image=b"")),
    "an unknown file": (E, FORM, edit(("../../evil", b"x", "../../evil"))),
    "an unknown field": (E, FORM, edit(("__class__", "x"))),
    "a million fields": (E, FORM, edit(*[("a", "b")] * 5000)),
    "too little strength": (E, FORM, edit(("strength", "0.01"), ("steps", "5"))),
    "strength that is no number": (E, FORM, edit(("strength", "nan"))),
    "n in a form": (E, FORM, edit(("n", "1e3"))),
    "a description without input": (R, JSON, text_body()),
    "an odd part of a theme": (
        R,
        JSON,
        text_body(input=[{"role": "user", "content": [{"type": "x"}]}]),
    ),
    "a theme of half a pair": (R, JSON, '{"model": "storybook-grammar", "input": "\\ud800"}'),
    "numbers for messages": (R, JSON, text_body(input=[1, 2])),
    "a painter for a writer": (R, JSON, text_body(model="storybook-sd", input="a cat")),
    "a conversation that is none": (R, JSON, text_body(input="a cat", conversation="../../x")),
    "odd metadata": ("conversations", JSON, json.dumps({"metadata": {"a": 1}})),
    "no such call": ("images/paintings", JSON, picture_body()),
    "a path out of here": ("../../../../etc/passwd", JSON, picture_body()),
}


def post(server, path, kind, body):
    """(status, body) of a raw request, without a client that would forbid what is sent."""
    host, port = server.url.split("/")[2].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    body = body if isinstance(body, bytes) else body.encode()
    connection.request("POST", f"/v1/{path}", body, {"Content-Type": kind} if kind else {})
    response = connection.getresponse()
    return response.status, response.read()


def draw(client, seed, **given):
    """The picture of a seed, as bytes."""
    call = client.images.edit if "image" in given else client.images.generate
    given = {"model": "storybook-sd", "prompt": "a red castle in a meadow"} | given
    answer = call(extra_body={"seed": seed, "steps": 4}, **given)
    last = list(answer)[-1] if given.get("stream") else answer.data[0]
    return base64.b64decode(last.b64_json)


@pytest.fixture(scope="module")
def client(server):
    return OpenAI(base_url=server.url, api_key="not-needed", max_retries=0)


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_answered_with_a_sentence(server, name):
    status, body = post(server, *GARBAGE[name])
    assert 400 <= status < 500, body
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert 10 < len(error["message"]) < 400 and "Traceback" not in error["message"]


def test_what_the_garbage_was_made_from_is_right_and_the_server_lives(server, client):
    """If these were refused as well, the refusals above would prove nothing."""
    for path, kind, body in (
        (G, JSON, picture_body(steps=2)),
        (E, FORM, edit(("mask", MASK, "m.png"))),
    ):
        status, body = post(server, path, kind, body)
        assert status == 200, body
    assert draw(client, 1) == draw(client, 1)


def test_another_name_for_this_machine_is_not_answered(server):
    host, port = server.url.split("/")[2].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", "/v1/models", headers={"Host": "evil.example"})
    answer = connection.getresponse()
    assert answer.status == 400 and json.loads(answer.read())["error"]["code"] == "unknown_host"


def memory(server):
    """Bytes of memory that the server holds; None where the system does not tell."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) * 1024


def test_many_at_once_each_get_their_own_picture(server, client):
    """No error but 429, no lost or mixed-up picture, and memory that stays."""
    picture = ("a.png", png())
    mask = ("m.png", MASK)
    kinds = [
        {},
        {"n": 2},
        {"size": "192x128", "prompt": "a boat at night"},
        {"size": "1024x1024", "output_format": "jpeg"},
        {"stream": True, "partial_images": 2},
        {"image": picture},
        {"image": picture, "mask": mask, "stream": True},
    ]
    cases = [(seed, given) for given in kinds for seed in (1, 2)]
    alone = [draw(client, seed, **given) for seed, given in cases]
    # The last of a stream is the picture drawn alone; the first of two may round differently.
    assert len(alone) - 4 <= len(set(alone)) <= len(alone) - 2
    end, counts, wrong = time.monotonic() + SECONDS, [], []

    def work(number):
        rng, mine = (
            random.Random(number),
            OpenAI(base_url=server.url, api_key="not-needed", max_retries=0),
        )
        drawn = 0
        while time.monotonic() < end:
            k = rng.randrange(len(cases))
            seed, given = cases[k]
            try:
                if draw(mine, seed, **given) != alone[k]:
                    wrong.append(f"another picture: {given}")
                drawn += 1
            except openai.RateLimitError:
                time.sleep(0.2)
            except Exception as error:  # whatever it is, the test must see it
                wrong.append(repr(error))
        counts.append(drawn)

    draw(client, 1, size="1024x1024", n=4)  # what it holds at its busiest
    before = memory(server)
    threads = [threading.Thread(target=work, args=[number]) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(counts) == CLIENTS and min(counts) >= 1
    after = memory(server)
    print(f"{sum(counts)} answers, {min(counts)} or more a client, memory {before} to {after}")
    if before:
        assert after - before < 60e6
