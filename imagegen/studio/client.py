"""What the studio requests of a server, and what the server's errors mean. Built in chapter 12."""

from openai import APITimeoutError, RateLimitError

from imagegen.recipe import SETTINGS
from imagegen.storybook.describe import PAINTER

PREVIEWS = 3  # partial images of each picture, the most that the API sends
# Settings that have standard names in the API, or none; only our server takes the others.
STANDARD = ("prompt", "model", "width", "height", "strength")


def is_ours(model):
    """Whether a model is the course's, which takes seed, steps and guidance."""
    return model.startswith("storybook")


def request_text(client, model, theme, previous=None, draft=0):
    """The events of a description: pieces of text, then the whole response.

    previous: the id of the response that the theme changes. draft: a seed, for our grammar.
    """
    given = {"model": model, "instructions": PAINTER, "input": theme, "stream": True}
    if previous:
        given["previous_response_id"] = previous
    if is_ours(model):
        given["extra_body"] = {"seed": draft}
    return client.responses.create(**given)


def request_picture(client, recipe, source=None, mask=None):
    """The events of one picture: previews, then the picture.

    source: for an edit, the PNG to begin with; mask: where to draw, as OpenAI's API takes it.
    """
    given = {"model": recipe.model, "prompt": recipe.prompt, "stream": True}
    if is_ours(recipe.model):
        values = recipe.to_dict()
        own = {name: values[name] for name in SETTINGS if name in values and name not in STANDARD}
        if recipe.strength is not None:
            own["strength"] = recipe.strength
        given |= {"size": f"{recipe.width}x{recipe.height}", "extra_body": own}
    else:
        tall = recipe.height - recipe.width
        given["size"] = "1024x1536" if tall > 0 else "1536x1024" if tall < 0 else "1024x1024"
        steps = recipe.steps
        given["quality"] = "low" if steps <= 10 else "medium" if steps <= 25 else "high"
    if source is None:
        return client.images.generate(partial_images=PREVIEWS, **given)
    given["image"] = ("picture.png", source, "image/png")
    if mask is not None:
        given["mask"] = ("mask.png", mask, "image/png")
    return client.images.edit(partial_images=PREVIEWS, **given)


def server_message(error):
    """The message of the server itself about an error, None where it sent none."""
    body = getattr(error, "body", None)
    return body.get("message") if isinstance(body, dict) else None


def error_sentence(error):
    """What went wrong, and what to do."""
    if isinstance(error, RateLimitError):
        wait = error.response.headers.get("retry-after", "some")
        return f"The server has too much to do. Try again in {wait} s."
    if server_message(error):
        return f"The server says: {server_message(error)}"
    if isinstance(error, APITimeoutError):
        return "The server took too long to answer. Try again."
    if isinstance(error, OSError | ValueError) and not isinstance(error, ConnectionError):
        return f"The picture cannot be saved: {error}"
    return f"The connection to the server broke off ({type(error).__name__}). Try again."
