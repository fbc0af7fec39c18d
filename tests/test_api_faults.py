"""What once broke the server, or kept a client from it: every case a kind of its own."""

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import uvicorn
from PIL import Image
from test_api_hard import FORM, JSON, MASK, E, G, edit, memory, picture_body, png, post
from wire import connect, file

from imagegen.api import start
from imagegen.api.app import create_app
from imagegen.api.families import readable
from imagegen.recipe import read_recipe
from imagegen.storybook.caption import read, unknown_words, words
from imagegen.storybook.describe import cut_off, describe, is_off_topic

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def client(server):
    return connect(server)


def cpu(call, *given):
    """Seconds of CPU that a call takes in this thread, however busy the machine is."""
    start = time.thread_time()
    call(*given)
    return time.thread_time() - start


def address(server):
    host, port = server.url.split("/")[2].split(":")
    return host, int(port)


# text


def test_a_long_gap_between_two_words_takes_no_time(client):
    describe("a cat")
    theme = "cat" + "\n" * 31_000 + "boat"
    assert cpu(describe, theme) < 0.1
    text = client.responses.create(model="storybook-grammar", input=theme).output_text
    assert text == describe("cat\nboat")


@pytest.mark.parametrize(
    "unit", ["\n", " \n", "!?", "no ", "not a,", "please ", "a-", "'", ". ", "é", "\u200b", "🐈 "]
)
def test_every_path_of_a_text_is_linear(unit):
    describe("a cat")
    text = "cat" + unit * (1_000_000 // len(unit)) + "boat"
    calls = [describe, is_off_topic, readable, words, unknown_words, read, lambda t: cut_off(t, 9)]
    assert [call for call in calls if cpu(call, text) > 3] == []


def test_a_conversation_of_1200_messages_is_answered_beside_the_others(server, client):
    themes = ["a castle at night", "more blue", "in the snow", "with birds"] * 300
    messages = [{"role": "user", "content": theme} for theme in themes]
    waits, done = [], threading.Event()

    def knock():
        while not done.is_set():
            start = time.monotonic()
            client.models.retrieve("storybook-sd")
            waits.append(time.monotonic() - start)

    thread = threading.Thread(target=knock)
    thread.start()
    text = client.responses.create(model="storybook-grammar", input=messages).output_text
    done.set()
    thread.join()
    assert {"castle", "blue", "snow", "birds"} <= set(read(text).values())
    assert max(waits) < 2
    assert cpu(describe, themes[-1], 0, themes[:-1]) < 0.5


# numbers


@pytest.mark.parametrize("name", ["n", "seed", "steps", "guidance", "partial_images"])
def test_a_number_of_400_digits_is_refused(server, name):
    for digits in ("1" + "0" * 400, "-1" + "0" * 400):
        status, body = post(server, G, JSON, picture_body()[:-1] + f', "{name}": {digits}}}')
        assert status == 400 and json.loads(body)["error"]["param"] == name, body
        status, body = post(server, E, FORM, edit((name, digits)))
        assert status == 400 and json.loads(body)["error"]["param"] == name, body


# pictures


def test_sixteen_huge_pictures_do_not_fill_the_memory(server, client):
    client.images.generate(model="storybook-sd", prompt="a cat", extra_body={"steps": 2})
    huge = png(Image.new("RGBA", (5000, 5000), "navy"))
    assert len(huge) < 200_000
    before, most, done = memory(server), [0], threading.Event()
    if before is None:
        pytest.skip("this system does not tell how much memory a process holds")

    def watch():
        while not done.wait(0.02):
            most.append(memory(server))

    thread = threading.Thread(target=watch)
    thread.start()
    status, body = post(server, E, FORM, edit(*[("image[]", huge, "a.png")] * 15, image=huge))
    four = edit(*[("image[]", huge, "a.png")] * 3, ("steps", "2"), image=huge)
    right, _ = post(server, E, FORM, four)
    done.set()
    thread.join()
    assert status == 400 and json.loads(body)["error"]["code"] == "image_too_large"
    assert right == 200
    assert max(most) - before < 1e9


def test_a_full_queue_refuses_before_a_picture_is_opened():
    with start(queue=1) as server:
        client = connect(server)
        stream = client.images.generate(
            model="storybook-sd", prompt="a cat", stream=True, extra_body={"steps": 1000}
        )
        status, body = post(server, E, FORM, edit(image=b"no picture at all"))
        assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
        stream.close()


def test_files_are_known_by_their_type(client, server):
    picture = png()
    for image, code in (
        (picture, "unsupported_file_mimetype"),
        (("a.gif", picture), "unsupported_file_mimetype"),
        (("a.png", picture, "text/plain"), "unsupported_file_mimetype"),
    ):
        with pytest.raises(Exception, match="unsupported mimetype") as caught:
            client.images.edit(model="storybook-sd", prompt="a cat", image=image)
        assert caught.value.code == code
    status, body = post(server, E, FORM, edit(("image", "a.png"), image=b""))
    error = json.loads(body)["error"]
    assert (status, error["param"], error["code"]) == (400, "image", "invalid_type")
    assert "expected a file, but got a string" in error["message"]


def test_an_edit_may_come_as_json(server, client):
    castle = Image.new("RGB", (128, 128), "navy")
    url = "data:image/png;base64," + base64.b64encode(png(castle)).decode()
    mask = "data:image/png;base64," + base64.b64encode(MASK).decode()
    given = {"seed": 1, "steps": 4}
    body = picture_body(images=[{"image_url": url}], mask={"image_url": mask}, **given)
    status, answer = post(server, E, JSON, body)
    assert status == 200, answer
    as_form = client.images.edit(
        model="storybook-sd", prompt="a cat", image=("a.png", png(castle)), mask=("m.png", MASK),
        extra_body=given,
    )  # fmt: skip
    assert json.loads(answer)["data"][0]["b64_json"] == as_form.data[0].b64_json
    for images, param in (([{"file_id": "a"}], "image"), ([{"image_url": "x"}], "image"),
                          ("a", "images"), ([], "image"), ([7], "image")):  # fmt: skip
        status, answer = post(server, E, JSON, picture_body(images=images))
        assert status == 400 and json.loads(answer)["error"]["param"] == param, answer


# connections


@pytest.fixture(scope="module")
def broken_server():
    """(host, port) of a server with a call that breaks."""
    app = create_app()

    @app.post("/v1/broken/call")
    async def broken():
        raise RuntimeError("something broke")

    # Before the call that answers every other address.
    app.router.routes.insert(0, app.router.routes.pop())
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [taken]})
    thread.start()
    while not running.started:
        time.sleep(0.05)
    yield taken.getsockname()
    running.should_exit = True
    thread.join()


def test_the_connection_still_works_after_a_500(broken_server):
    connection = http.client.HTTPConnection(*broken_server, timeout=30)
    for _ in range(20):
        connection.request("POST", "/v1/broken/call", b"{}", {"Content-Type": JSON})
        answer = connection.getresponse()
        error = json.loads(answer.read())["error"]
        assert (answer.status, error["code"]) == (500, "server_error")
        assert "RuntimeError: something broke" in error["message"]
        connection.request("GET", "/v1/models")
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["object"] == "list"


def send(server, headers, path=f"/v1/{G}", body=None):
    connection = http.client.HTTPConnection(*address(server), timeout=60)
    connection.request(
        "POST", path, body or picture_body(steps=2), {"Content-Type": JSON} | headers
    )
    answer = connection.getresponse()
    return answer, json.loads(answer.read())


def test_a_page_of_the_web_cannot_draw(server):
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "http://["):
        answer, body = send(server, {"Origin": origin, "Content-Type": FORM}, f"/v1/{E}", edit())
        assert (answer.status, body["error"]["code"]) == (403, "foreign_origin")
    for origin in ("http://localhost:8888", "http://127.0.0.1:8866", "http://[::1]:80"):
        assert send(server, {"Origin": origin})[0].status == 200


def test_a_foreign_host_gets_the_error_of_every_other_refusal(server):
    for host in ("evil.example", "evil.example:80", "", "[", "127.0.0.1.evil.example"):
        answer, body = send(server, {"Host": host})
        assert answer.status == 400 and answer.headers["content-type"] == JSON
        assert set(body["error"]) == {"message", "type", "param", "code"}
    assert send(server, {"Host": "localhost:1"})[0].status == 200


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_a_server_that_is_told_to_end_answers_what_is_drawn_and_ends():
    with start(queue=8) as server:
        client = connect(server)
        given = {"model": "storybook-sd", "prompt": "a cat"}
        client.images.generate(extra_body={"steps": 2}, **given)
        head = f"POST /v1/{E} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n"
        half = socket.create_connection(address(server))
        half.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode() + edit()[:200])
        answers = []

        def draw(**extra):
            answers.append(file(client.images.generate(extra_body=extra, **given).data[0]))

        def wait():
            try:
                draw(steps=2)
            except Exception as error:  # its answer never comes
                answers.append(type(error).__name__)

        server.fail("timeout")
        threads = [threading.Thread(target=wait)]
        threads[0].start()
        time.sleep(0.5)
        threads.append(threading.Thread(target=draw, kwargs={"steps": 8, "seed": 1}))
        threads[1].start()
        time.sleep(0.2)
        begin = time.monotonic()
        server.process.terminate()
        server.process.wait(30)
        assert time.monotonic() - begin < 10
        for thread in threads:
            thread.join()
        half.close()
    (drawn,) = (answer for answer in answers if isinstance(answer, bytes))
    assert len(answers) == 2
    assert read_recipe(drawn).steps == 8


# surroundings


def run(code, folder, **variables):
    """(output, exit status) of Python code in a folder of its own; it finds this package."""
    place = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    command = [sys.executable, "-P", "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment | place, capture_output=True, timeout=300
    )
    return (done.stdout + done.stderr).decode("utf-8", "replace"), done.returncode


ASK = """
from imagegen.api import start
from openai import OpenAI
with start() as server:
    server.fail("rate_limit", times=0)
    print(len(OpenAI(base_url=server.url, api_key="x", max_retries=0).models.list().data) > 9)
"""


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_not_asked_for_our_own_server(tmp_path, name):
    out, status = run(ASK, tmp_path, **{name: "http://127.0.0.1:9", "NO_PROXY": "example.org"})
    assert (out.strip(), status) == ("True", 0)


def test_a_learners_own_modules_are_not_pythons(tmp_path):
    for name in ("random", "copy", "email", "json", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')\n")
    assert run(ASK, tmp_path) == ("True\n", 0)


DRAW = "from imagegen.api import generate; generate.main({})"


def test_the_home_folder_and_strange_signs(server, tmp_path):
    """~ is the home folder, and a terminal that lacks signs does not lose a picture."""
    words = ["a cat", "--quality", "low", "--n", "2", "--base-url", server.url]
    code = DRAW.format([*words, "--out", "~/画 labs"])
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "PYTHONIOENCODING": "cp1252"}
    out, status = run(code, tmp_path, **home)
    assert status == 0, out
    assert len(list((tmp_path / "画 labs").iterdir())) == 2 and len(out.splitlines()) == 2
    assert "\\u753b labs" in out and not (tmp_path / "~").exists()


def test_a_folder_that_cannot_be_is_noticed_before_anything_is_drawn(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("file", "file/folder", "a\0b"):
        code = DRAW.format(["a cat", "--base-url", "http://127.0.0.1:9/v1", "--out", name])
        out, status = run(code, tmp_path)
        assert status == 2 and "no picture can be saved in" in out, out
        assert "No server answers" not in out and "Traceback" not in out


# speed


def seconds(server, call):
    """CPU seconds of the server for a call."""
    process = psutil.Process(server.process.pid)
    before = sum(process.cpu_times()[:2])
    call()
    return sum(process.cpu_times()[:2]) - before


def test_four_pictures_at_once_cost_less_than_four_requests(server, client):
    given = {"model": "storybook-sd", "prompt": "a red castle in a meadow"}

    def draw(n, count):
        for _ in range(count):
            client.images.generate(n=n, extra_body={"seed": 1, "steps": 20}, **given)

    draw(4, 1)
    single, batch = (seconds(server, lambda c=c: draw(*c)) for c in ((1, 8), (4, 2)))
    print(f"8 pictures: {single:.2f} s of CPU one by one, {batch:.2f} s in batches of 4")
    assert batch < 0.8 * single
