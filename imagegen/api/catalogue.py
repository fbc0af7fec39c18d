"""The models that the server offers, when each is shut down, and which family it is of.

Two are real: storybook-sd draws every picture and storybook-grammar writes every text. The ids of
OpenAI's models are accepted as well, so that code written for its service runs here unchanged;
owned_by says that they are emulated. What a family accepts: families.py. Read in chapter 11.
"""

from dataclasses import dataclass
from datetime import date

from imagegen.api.errors import ApiError

IMAGES = "storybook-sd"
TEXTS = "storybook-grammar"
CREATED = 1_795_392_000  # 2026-11-23: the real dates of other models are not ours to tell


@dataclass(frozen=True)
class ServedModel:
    """A model by its id; family: which parameters it takes; shutdown: the day it ends, if known."""

    id: str
    family: str
    shutdown: date | None = None

    @property
    def draws(self) -> bool:
        return self.family != "text"

    def listed(self) -> dict:
        """The model as GET /v1/models shows it."""
        ours = IMAGES if self.draws else TEXTS
        owner = "imagegen" if self.id == ours else f"emulated by {ours}"
        entry = {"id": self.id, "object": "model", "created": CREATED, "owned_by": owner}
        return entry | {"shutdown_date": self.shutdown.isoformat() if self.shutdown else None}


# Dates: https://developers.openai.com/api/docs/deprecations, read in November 2026.
RETIRED_DALLE = date(2026, 5, 12)
LAST_GPT_IMAGE_1 = date(2026, 12, 1)
MODELS = {
    model.id: model
    for model in (
        ServedModel(IMAGES, "storybook"),
        ServedModel("gpt-image-2.6-sunburst", "gpt-image-2.6"),
        ServedModel("gpt-image-2.6-flare", "gpt-image-2.6"),
        ServedModel("gpt-image-2.5-sunburst", "gpt-image-2"),
        ServedModel("gpt-image-2.5-sunburst-2026-09-08", "gpt-image-2"),
        ServedModel("gpt-image-2.5-flare", "gpt-image-2"),
        ServedModel("gpt-image-2.5-flare-2026-09-08", "gpt-image-2"),
        ServedModel("gpt-image-2", "gpt-image-2"),
        ServedModel("gpt-image-2-2026-04-21", "gpt-image-2"),
        ServedModel("gpt-image-1.5", "gpt-image-1", LAST_GPT_IMAGE_1),
        ServedModel("gpt-image-1-mini", "gpt-image-1-mini", LAST_GPT_IMAGE_1),
        ServedModel("chatgpt-image-latest", "gpt-image-1", LAST_GPT_IMAGE_1),
        ServedModel("gpt-image-1", "gpt-image-1", date(2026, 10, 23)),
        ServedModel("dall-e-3", "dall-e-3", RETIRED_DALLE),
        ServedModel("dall-e-2", "dall-e-2", RETIRED_DALLE),
        ServedModel(TEXTS, "text"),
        ServedModel("gpt-6.2-astra", "text"),
        ServedModel("gpt-6.2-sol", "text"),
        ServedModel("gpt-6-astra", "text"),
        ServedModel("gpt-6-luna", "text"),
        ServedModel("gpt-5.5", "text"),
        ServedModel("gpt-5", "text", date(2026, 12, 11)),
        ServedModel("gpt-4.1", "text", date(2027, 1, 14)),
        ServedModel("gpt-4o", "text", date(2027, 1, 14)),
        ServedModel("gpt-4o-mini", "text", date(2027, 1, 14)),
    )
}


def served(today: date, emulate_retired: bool) -> list[ServedModel]:
    """The models that answer on a day: not those shut down, unless retired ones are emulated."""
    return [
        model
        for model in MODELS.values()
        if emulate_retired or model.shutdown is None or today < model.shutdown
    ]


def find(name: str, today: date, emulate_retired: bool) -> ServedModel:
    """The model of an id; ApiError 404, as the real service says it, for one that is not served."""
    model = MODELS.get(name)
    if model in served(today, emulate_retired):
        return model
    if model:
        message = (
            f"The model '{name}' was shut down on {model.shutdown}. "
            "GET /v1/models lists those that are served; this local server draws as the retired "
            "ones did if it is started with --emulate-retired."
        )
    else:
        message = f"The model '{name[:80]}' does not exist: GET /v1/models lists those that do."
    raise ApiError(message, "model", "model_not_found", status=404)
