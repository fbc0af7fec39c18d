"""What the studio asks of a server, and what the server's errors mean. Built in chapter 12."""

from openai import APITimeoutError, RateLimitError

from imagegen.storybook.describe import PAINTER

PREVIEWS = 3  # partial images of each picture, the most that the API sends


def is_ours(model):
    """Whether a model is the course's, which takes seed, steps and guidance."""
    return model.startswith("storybook")


def ask_text(client, model, theme, previous=None, draft=0):
    """The events of a description: pieces of text, then the whole response.

    previous: the id of the response that the theme changes. draft: a seed, for our grammar.
    """
    asked = {"model": model, "instructions": PAINTER, "input": theme, "stream": True}
    if previous:
        asked["previous_response_id"] = previous
    if is_ours(model):
        asked["extra_body"] = {"seed": draft}
    return client.responses.create(**asked)


def ask_picture(client, model, settings):
    """The events of one picture: previews, then the picture. settings: as of Form.settings()."""
    steps = settings["steps"]
    asked = {"model": model, "prompt": settings["prompt"], "size": settings["size"]}
    asked["quality"] = "low" if steps <= 10 else "medium" if steps <= 25 else "high"
    if is_ours(model):
        asked["extra_body"] = {key: settings[key] for key in ("seed", "steps", "guidance")}
    return client.images.generate(stream=True, partial_images=PREVIEWS, **asked)


def spoken(error):
    """What the server itself says about an error, or None if no word came from it."""
    body = getattr(error, "body", None)
    return body.get("message") if isinstance(body, dict) else None


def sentence(error):
    """What went wrong, and what to do."""
    if isinstance(error, RateLimitError):
        wait = error.response.headers.get("retry-after", "some")
        return f"The server has too much to do. Try again in {wait} s."
    if spoken(error):
        return f"The server says: {spoken(error)}"
    if isinstance(error, APITimeoutError):
        return "The server took too long to answer. Try again."
    return f"The connection to the server broke off ({type(error).__name__}). Try again."
