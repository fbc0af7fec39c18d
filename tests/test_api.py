"""Every call of the local server, made by the real client and checked against its own types."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest
from openai import OpenAI
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImagesResponse,
    Model,
)
from openai.types.conversations import (
    Conversation,
    ConversationDeletedResource,
    ConversationItemList,
)
from openai.types.responses import Response
from PIL import Image
from wire import EVENTS, apart, as_file, connect, file, opened, raw, strictly

from imagegen.api import start
from imagegen.draw import redraw_file
from imagegen.masks import to_transparent
from imagegen.models import load_pipeline
from imagegen.recipe import Recipe, read_recipe
from imagegen.storybook.caption import read
from imagegen.storybook.describe import PAINTER, REFUSAL

PROMPT = "a red castle in a meadow at sunset"


@pytest.fixture(scope="module")
def client(server):
    return connect(server)


@pytest.fixture(scope="module")
def small():
    """A server with two places, one to draw and one to wait, where retired models answer."""
    with start(emulate_retired=True, queue=2) as running:
        yield running


@pytest.fixture
def old(small):
    return connect(small)


def generate(client, seed=1, prompt=PROMPT, model="storybook-sd", **given):
    extra = {"seed": seed, "steps": 4} | given.pop("extra_body", {})
    return client.images.generate(model=model, prompt=prompt, extra_body=extra, **given)


@pytest.fixture(scope="module")
def castle(client):
    return opened(generate(client).data[0])


def test_models_are_listed_with_their_last_days(client):
    listed = {model.id: model for model in client.models.list()}
    for model in listed.values():
        strictly(Model, model.model_dump())
    assert listed["storybook-sd"].owned_by == listed["storybook-grammar"].owned_by == "imagegen"
    assert listed["gpt-image-2.6-flare"].owned_by == "emulated by storybook-sd"
    assert listed["gpt-6-luna"].owned_by == "emulated by storybook-grammar"
    assert listed["gpt-4o"].shutdown_date == "2027-01-14"
    assert "dall-e-2" not in listed and "gpt-image-1" not in listed
    assert client.models.retrieve("gpt-4o") == listed["gpt-4o"]


def test_a_generation_is_what_the_clients_type_says(client):
    data = raw(
        client.images.with_raw_response.generate, model="gpt-image-2", prompt=PROMPT, quality="low"
    )
    response = strictly(ImagesResponse, data)
    assert (response.size, response.quality) == ("1024x1024", "low")
    assert (response.background, response.output_format) == ("opaque", "png")
    assert opened(response.data[0]).size == (1024, 1024)
    assert response.usage.input_tokens == 8 and response.usage.output_tokens == 256 * 8


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline(device="cpu")


def redrawn(pipe, tmp_path, picture, *sources, mask=None):
    """The picture, drawn again from its file alone."""
    path = tmp_path / "picture.png"
    path.write_bytes(file(picture))
    return redraw_file(pipe, path, *sources, mask=mask)


def test_a_picture_is_the_pipelines_and_carries_its_recipe(client, pipe, tmp_path):
    extra = {"negative_prompt": "birds", "scheduler": "Euler", "guidance": 3.5}
    picture = generate(client, seed=7, extra_body=extra).data[0]
    recipe = read_recipe(file(picture))
    assert recipe == Recipe(PROMPT, **extra, seed=7, steps=4)
    assert apart(redrawn(pipe, tmp_path, picture), opened(picture)).max() <= 1
    large = generate(client, seed=7, size="1536x864").data[0]
    assert read_recipe(file(large)) == Recipe(PROMPT, seed=7, steps=4, width=192, height=112)
    assert apart(redrawn(pipe, tmp_path, large), opened(large)).max() <= 1


def test_seeds_steps_and_guidance_are_taken_and_chance_is_the_default(client):
    one = file(generate(client).data[0])
    assert file(generate(client).data[0]) == one
    for extra in ({"seed": 2}, {"steps": 9}, {"guidance": 2.0}):
        assert file(generate(client, extra_body=extra).data[0]) != one
    free = [
        client.images.generate(model="storybook-sd", prompt=PROMPT, quality="low") for _ in range(2)
    ]
    assert file(free[0].data[0]) != file(free[1].data[0])


def test_of_several_pictures_number_k_has_seed_plus_k(client):
    together = generate(client, seed=5, n=3).data
    alone = [generate(client, seed=seed).data[0] for seed in (5, 6, 7)]
    # They are drawn as a batch, which rounds differently.
    for a, b in zip(together, alone, strict=True):
        assert apart(opened(a), opened(b)).max() <= 1
        assert read_recipe(file(a)) == read_recipe(file(b))
    assert len({file(picture) for picture in together}) == 3
    assert [file(picture) for picture in generate(client, seed=5, n=3).data] == [
        file(picture) for picture in together
    ]


@pytest.mark.parametrize(
    "given, size, drawn",
    [
        ("auto", (128, 128), "128x128"),
        ("192x128", (192, 128), "192x128"),
        ("512x512", (512, 512), "128x128"),
        ("1536x864", (1536, 864), "192x112"),
    ],
)
def test_sizes(client, given, size, drawn):
    extra = {"seed": 1, "steps": 4}
    answer = client.images.with_raw_response.generate(
        model="storybook-sd", prompt=PROMPT, size=given, extra_body=extra
    )
    response = answer.parse()
    assert answer.headers["x-imagegen-drawn-size"] == drawn
    assert response.size == f"{size[0]}x{size[1]}"
    assert opened(response.data[0]).size == size


def test_formats_and_compression(client):
    sizes = {}
    for kind, quality in (("png", None), ("jpeg", 90), ("jpeg", 10), ("webp", 50)):
        options = {"output_format": kind} | ({"output_compression": quality} if quality else {})
        response = generate(client, **options)
        assert response.output_format == kind
        assert Image.open(io.BytesIO(file(response.data[0]))).format == kind.upper()
        sizes[kind, quality] = len(file(response.data[0]))
    assert sizes["jpeg", 10] < sizes["jpeg", 90]


def test_what_the_model_cannot_read_is_left_out_and_said(client):
    text = f"{PROMPT}. Loose brushwork lets the evening breathe."
    revised = generate(client, prompt=text).data[0]
    assert revised.revised_prompt == PROMPT
    assert file(revised) == file(generate(client).data[0])
    unknown = "Rembrandt's helicopter. A cat."
    assert generate(client, prompt=unknown).data[0].revised_prompt == unknown


@pytest.mark.parametrize("partials", [1, 2, 3])
def test_streamed_pictures_come_early_and_end_as_the_others(client, partials):
    given = {"model": "storybook-sd", "prompt": PROMPT, "extra_body": {"seed": 1, "steps": 12}}
    start = time.monotonic()
    events, times = [], []
    for event in client.images.generate(stream=True, partial_images=partials, **given):
        events.append(strictly(EVENTS[event.type], event.model_dump()))
        times.append(time.monotonic() - start)
    assert times[0] < times[-1] / 2
    assert [event.type for event in events[:-1]] == ["image_generation.partial_image"] * partials
    assert [event.partial_image_index for event in events[:-1]] == list(range(partials))
    assert events[-1].type == "image_generation.completed"
    whole = client.images.generate(**given)
    assert file(events[-1]) == file(whole.data[0])
    assert events[-1].usage.total_tokens == whole.usage.total_tokens
    assert events[-1].background == whole.background == "opaque"
    # The guesses come nearer to the picture, and none is noise.
    errors = [apart(opened(event), opened(events[-1])).mean() for event in events]
    assert errors == sorted(errors, reverse=True) and errors[0] < 60


def test_a_stream_without_partial_images_is_one_event(client):
    events = list(generate(client, stream=True))
    assert [event.type for event in events] == ["image_generation.completed"]


def test_an_edit_with_a_mask_changes_what_is_transparent_alone(client, castle, pipe, tmp_path):
    white = Image.new("L", (128, 128))
    white.paste(255, (61, 40, 64, 100))  # thinner than a place of the latents
    mask = as_file(to_transparent(castle, white))
    given = {"model": "storybook-sd", "image": as_file(castle), "mask": mask}
    given |= {"prompt": "a tree in a meadow", "extra_body": {"seed": 1, "steps": 8}}
    data = raw(client.images.with_raw_response.edit, **given)
    response = strictly(ImagesResponse, data)
    change = apart(opened(response.data[0]), castle).max(2)
    inside = np.asarray(white) > 0
    assert change[~inside].max() == 0
    assert change[inside].mean() > 10
    large = client.images.edit(**given, size="1024x1024").data[0]
    for picture in (response.data[0], large):
        again = redrawn(pipe, tmp_path, picture, castle, mask=white)
        assert apart(again, opened(picture)).max() <= 1


def test_an_edit_without_a_mask_starts_from_the_picture(client, castle, pipe, tmp_path):
    def edit(strength, **given):
        extra = {"seed": 1, "steps": 10, "strength": strength}
        given = {"model": "storybook-sd", "image": as_file(castle)} | given
        return client.images.edit(prompt=PROMPT, extra_body=extra, **given)

    little, much = (apart(opened(edit(s).data[0]), castle).mean() for s in (0.2, 0.9))
    assert 0 < little < 0.75 * much
    large = edit(0.5, image=as_file(castle.resize((1024, 1024)), "WEBP"), model="gpt-image-2")
    assert large.size == "1024x1024" and opened(large.data[0]).size == (1024, 1024)
    source = Image.open(io.BytesIO(as_file(castle.resize((1024, 1024)), "WEBP")[1]))
    again = redrawn(pipe, tmp_path, large.data[0], source)
    assert apart(again, opened(large.data[0])).max() <= 1
    assert edit(0.5, image=as_file(castle.resize((300, 200)), "JPEG")).size == "192x128"


def test_an_edit_of_several_pictures_starts_from_their_mean(client, castle, pipe, tmp_path):
    other = opened(generate(client, prompt="a beach at night").data[0])
    given = {"model": "storybook-sd", "prompt": PROMPT}
    given["extra_body"] = {"seed": 1, "steps": 10, "strength": 0.1}
    both = client.images.edit(image=[as_file(castle), as_file(other)], **given)
    again = redrawn(pipe, tmp_path, both.data[0], castle, other)
    assert apart(again, opened(both.data[0])).max() <= 1
    mean = (np.asarray(castle, float) + np.asarray(other, float)) / 2
    assert apart(opened(both.data[0]), mean).mean() < apart(castle, mean).mean()
    assert both.usage.input_tokens_details.image_tokens == 2 * 256


def test_a_streamed_edit(client, castle):
    events = list(
        client.images.edit(
            model="gpt-image-2",
            image=as_file(castle),
            prompt=PROMPT,
            stream=True,
            partial_images=2,
            extra_body={"seed": 1, "steps": 8},
        )  # fmt: skip
    )
    kinds = [type(strictly(EVENTS[event.type], event.model_dump())) for event in events]
    assert kinds == [ImageEditPartialImageEvent] * 2 + [ImageEditCompletedEvent]


def refused(call, kind, code, word=""):
    with pytest.raises(kind) as caught:
        call()
    body = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert body["code"] == code
    assert word in body["message"]
    return body


@pytest.mark.parametrize(
    "given, code, param",
    [
        ({"model": "dall-e-3"}, "model_not_found", "model"),
        ({"model": "gpt-image-1"}, "model_not_found", "model"),
        ({"model": "no-such-model"}, "model_not_found", "model"),
        ({"model": "gpt-6-luna"}, "invalid_value", "model"),
        (
            {"response_format": "b64_json", "model": "gpt-image-2"},
            "unknown_parameter",
            "response_format",
        ),
        ({"style": "vivid"}, "unknown_parameter", "style"),
        ({"extra_body": {"sampler": "Euler"}}, "unknown_parameter", "sampler"),
        ({"extra_body": {"strength": 0.5}}, "unknown_parameter", "strength"),
        ({"quality": "hd"}, "invalid_value", "quality"),
        ({"size": "1000x1000"}, "invalid_value", "size"),
        ({"size": "256x256", "model": "gpt-image-2"}, "invalid_value", "size"),
        ({"size": "512x512", "model": "gpt-image-1.5"}, "invalid_value", "size"),
        ({"extra_body": {"scheduler": "Karras"}}, "invalid_value", "scheduler"),
        ({"size": "3840x1024"}, "invalid_value", "size"),
        ({"size": "128x128", "model": "gpt-image-2"}, "invalid_value", "size"),
        ({"n": 11}, "integer_above_max_value", "n"),
        ({"n": 2, "stream": True}, "invalid_value", "n"),
        ({"partial_images": 2}, "invalid_value", "partial_images"),
        ({"background": "transparent"}, "invalid_value", "background"),
        ({"output_compression": 50}, "invalid_value", "output_compression"),
        ({"output_format": "svg"}, "invalid_value", "output_format"),
        ({"prompt": "a" * 32_001}, "string_above_max_length", "prompt"),
        ({"prompt": " "}, "empty_string", "prompt"),
    ],
    ids=str,
)
def test_what_the_real_service_refuses(client, given, code, param):
    kind = openai.NotFoundError if code == "model_not_found" else openai.BadRequestError
    assert refused(lambda: generate(client, **given), kind, code)["param"] == param


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.x says that the call is retired
def test_variations_are_retired(client, castle):
    call = client.images.create_variation
    refused(lambda: call(image=as_file(castle)), openai.NotFoundError, "model_not_found")
    other = lambda: call(image=as_file(castle), model="gpt-image-2")  # noqa: E731
    refused(other, openai.BadRequestError, "invalid_value", "edits endpoint")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dall_e_2_is_emulated(old, castle):
    listed = {model.id: model for model in old.models.list()}
    assert listed["dall-e-2"].owned_by == "emulated by storybook-sd"
    assert listed["dall-e-2"].shutdown_date == "2026-05-12"
    data = raw(
        old.images.with_raw_response.generate, model="dall-e-2", prompt=PROMPT, size="256x256"
    )
    (picture,) = strictly(ImagesResponse, data).data
    fetched = urllib.request.urlopen(picture.url).read()
    assert Image.open(io.BytesIO(fetched)).size == (256, 256)
    varied = old.images.create_variation(
        image=as_file(castle), n=2, size="512x512", response_format="b64_json",
        extra_body={"seed": 1, "steps": 8, "strength": 0.3},
    )  # fmt: skip
    small = [opened(picture).resize((128, 128)) for picture in varied.data]
    assert [apart(picture, castle).mean() < 40 for picture in small] == [True, True]
    holed = castle.copy()
    holed.putalpha(Image.new("L", (128, 128), 255))
    holed.paste((0, 0, 0, 0), (0, 0, 64, 64))
    edited = old.images.edit(
        model="dall-e-2", image=as_file(holed), prompt=PROMPT, response_format="b64_json"
    )
    change = apart(opened(edited.data[0]).resize((128, 128)), castle).mean(2)
    assert change[70:, 70:].mean() < 3 < change[:60, :60].mean()


def test_dall_e_3_is_emulated_with_its_styles(old):
    given = {"model": "dall-e-3", "response_format": "b64_json"}
    vivid, natural = (generate(old, style=style, **given).data[0] for style in ("vivid", "natural"))
    assert opened(vivid).size == (1024, 1024) and file(vivid) != file(natural)
    refused(lambda: generate(old, n=2, **given), openai.BadRequestError, "integer_above_max_value")
    refused(lambda: generate(old, size="512x512", **given), openai.BadRequestError, "invalid_value")
    assert generate(old, model="gpt-image-1").size == "1024x1024"


def test_a_description_and_a_conversation(client):
    given = {"model": "storybook-grammar", "instructions": PAINTER}
    conversation = client.conversations.create(metadata={"topic": "paintings"})
    strictly(Conversation, conversation.model_dump())
    data = raw(
        client.responses.with_raw_response.create,
        input="a lighthouse at night", conversation=conversation.id, **given,
    )  # fmt: skip
    first = strictly(Response, data)
    assert "lighthouse" in first.output_text and first.conversation.id == conversation.id
    second = client.responses.create(input="more blue", conversation=conversation.id, **given)
    assert "lighthouse" in second.output_text and "blue" in second.output_text
    page = json.loads(client.conversations.items.with_raw_response.list(conversation.id).content)
    strictly(ConversationItemList, page)
    items = list(client.conversations.items.list(conversation.id, order="asc", limit=1))
    assert [item.role for item in items] == ["user", "assistant"] * 2
    assert items[3].content[0].text == second.output_text
    assert client.responses.retrieve(first.id).output_text == first.output_text
    assert client.conversations.retrieve(conversation.id) == conversation
    gone = client.conversations.delete(conversation.id)
    assert strictly(ConversationDeletedResource, gone.model_dump()).deleted
    refused(
        lambda: client.conversations.retrieve(conversation.id), openai.NotFoundError, "not_found"
    )


def test_a_response_goes_on_from_another(client):
    given = {"model": "gpt-6-luna"}
    first = client.responses.create(input=[{"role": "user", "content": "a red castle"}], **given)
    second = client.responses.create(input="in the snow", previous_response_id=first.id, **given)
    seen = read(second.output_text)
    assert (seen["subject"], seen["colour"], seen["weather"]) == ("castle", "red", "snow")
    assert second.model == "gpt-6-luna"
    unkept = client.responses.create(input="a boat", store=False, **given)
    refused(lambda: client.responses.retrieve(unkept.id), openai.NotFoundError, "not_found")
    client.responses.delete(first.id)
    given |= {"input": "a cat", "conversation": "conv_1", "previous_response_id": second.id}
    call = lambda: client.responses.create(**given)  # noqa: E731
    refused(call, openai.BadRequestError, "mutually_exclusive_parameters")


def test_a_streamed_description_has_the_real_events(client):
    events = list(client.responses.create(model="gpt-6-luna", input="a boat at dawn", stream=True))
    for event in events:
        strictly(type(event), event.model_dump(exclude_unset=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    opening = ["created", "in_progress", "output_item.added", "content_part.added"]
    closing = ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert kinds == opening + ["output_text.delta"] * len(deltas) + closing
    assert "".join(deltas) == events[-1].response.output_text
    assert len(deltas) > 20


def test_what_is_no_painting_is_refused(client):
    text = client.responses.create(model="gpt-6-luna", input="Write a Python function").output_text
    assert text.startswith(REFUSAL)


def test_assistants_are_gone(client):
    with pytest.warns(DeprecationWarning):
        call = lambda: client.beta.threads.create()  # noqa: E731
        assert "2026-08-26" in refused(call, openai.NotFoundError, None)["message"]


def long(client, **given):
    """A stream that would take minutes, and its first event."""
    extra = {"seed": 1, "steps": 200}
    stream = client.images.generate(
        model="storybook-sd", prompt=PROMPT, stream=True, partial_images=3, extra_body=extra
    )
    return stream, next(stream)


def soon(call, seconds=10):
    """What the call gives, tried again while the queue is full."""
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except openai.RateLimitError:
            assert time.monotonic() < end, "no place was freed"
            time.sleep(0.1)


def test_a_full_queue_says_when_to_come_again_and_who_leaves_frees_a_place(small):
    client = connect(small)
    alone = file(soon(lambda: generate(client)).data[0])
    drawing, _ = soon(lambda: long(client))
    with pytest.raises(openai.APITimeoutError):  # waits in the second place, and leaves
        generate(connect(small, timeout=0.5))
    waiting = ThreadPoolExecutor()
    second = waiting.submit(lambda: soon(lambda: generate(client)))
    time.sleep(1)
    with pytest.raises(openai.RateLimitError) as caught:
        generate(client)
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert not second.done()
    drawing.close()  # in the middle of a picture of 200 steps
    start = time.monotonic()
    assert file(second.result(60).data[0]) == alone
    assert time.monotonic() - start < 10


def test_who_gives_up_waiting_for_a_picture_stops_its_drawing(small):
    client = connect(small)
    soon(lambda: generate(client))
    with pytest.raises(openai.APITimeoutError):
        generate(connect(small, timeout=1), extra_body={"steps": 200}, n=10)
    start = time.monotonic()
    generate(client)
    assert time.monotonic() - start < 10


def test_faults_come_as_often_as_asked_and_the_client_tries_again(small):
    client, patient = connect(small), connect(small, max_retries=2)
    kinds = {
        "rate_limit": (openai.RateLimitError, "rate_limit_exceeded"),
        "moderation": (openai.BadRequestError, "moderation_blocked"),
        "server_error": (openai.InternalServerError, "server_error"),
    }
    for fault, (kind, code) in kinds.items():
        small.fail(fault)
        refused(lambda: generate(client), kind, code)
        generate(client)
    small.fail("rate_limit", times=2)
    generate(patient)
    small.fail("timeout")
    with pytest.raises(openai.APITimeoutError):
        generate(connect(small, timeout=0.5))
    generate(client)
    with pytest.raises(ValueError, match="Supported values are: 'rate_limit'"):
        small.fail("earthquake")


def test_a_server_that_cannot_start_says_why(small):
    port = int(small.url.split(":")[2].split("/")[0])
    with pytest.raises(RuntimeError, match=f"Port {port} cannot be used"):
        start(port=port)


def test_a_stopped_server_is_gone():
    with start() as running:
        connect(running).models.list()
    with pytest.raises(openai.APIConnectionError):
        connect(running).models.list()


def test_a_server_ends_with_the_program_that_started_it_however_that_ends():
    code = "import os, imagegen.api as a; print(a.start().url, flush=True); os._exit(1)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    client = OpenAI(base_url=run.stdout.strip(), api_key="not-needed", max_retries=0, timeout=5)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            client.models.list()
        except openai.APIConnectionError:
            return
        time.sleep(0.2)
    pytest.fail("the server lives on")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_server_in_a_terminal_ends_quietly_when_interrupted():
    command = [sys.executable, "-m", "imagegen.api", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == "" and "Traceback" not in err


REAL = "IMAGEGEN_REAL_API"


@pytest.mark.skipif(
    os.environ.get(REAL) != "1" or not os.environ.get("OPENAI_API_KEY"),
    reason=f"asks OpenAI's real service, which costs money: set {REAL}=1 and OPENAI_API_KEY",
)
def test_the_real_service_answers_alike(client):
    """What costs nothing first: its refusals. Then the cheapest picture, by the same types."""
    theirs = OpenAI(base_url="https://api.openai.com/v1", max_retries=0)
    model = "gpt-image-2.6-flare"
    for wrong in ({"response_format": "b64_json"}, {"n": 11}, {"extra_body": {"sampler": "x"}}):
        bodies = []
        for service in (theirs, client):
            with pytest.raises(openai.BadRequestError) as caught:
                service.images.generate(model=model, prompt=PROMPT, **wrong)
            bodies.append({key: caught.value.body[key] for key in ("type", "param", "code")})
        assert bodies[0] == bodies[1]
    given = {"model": model, "prompt": PROMPT, "quality": "low", "size": "1024x1024"}
    keys = [set(raw(s.images.with_raw_response.generate, **given)) for s in (theirs, client)]
    assert keys[0] >= keys[1]
