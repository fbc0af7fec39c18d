"""The models of the course, and load_pipeline(), which turns a name into a diffusers pipeline.

Built in chapter 1. The small model lies in the repository and needs no network. Every other one
comes from the Hugging Face hub; when it cannot be had, one sentence says why and the small model
takes its place, so that the next cell runs all the same.
"""

from __future__ import annotations  # or the annotations alone would import all of diffusers

import difflib
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MethodType

import diffusers
import torch
import transformers
from huggingface_hub import constants, errors, hf_hub_download, utils
from packaging.version import Version

from imagegen.device import best_device, best_dtype, check_device
from imagegen.storybook.caption import unknown_words

SMALL = "storybook-sd"


@dataclass(frozen=True)
class Model:
    """What to know before loading a model, and the settings it was made for."""

    id: str  # folder in assets/models, or owner/name on the hub
    licence: str
    memory: float  # GB to draw one picture in half precision; as its makers or users say
    steps: int
    guidance: float  # as in diffusers: 1 or less draws without guidance
    size: int  # pixels a side
    fallback: str | None = SMALL  # the name to load when this one cannot be had


MODELS = {
    SMALL: Model(SMALL, "CC BY 4.0", 1, 20, 5.0, 128, fallback=None),
    "sd-1.5": Model(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", "CreativeML OpenRAIL-M", 4, 25, 7.5, 512
    ),
    "lcm": Model("SimianLuo/LCM_Dreamshaper_v7", "MIT", 4, 4, 8.0, 512),
    "sdxl-turbo": Model(
        "stabilityai/sdxl-turbo", "Stability AI, non-commercial and research", 8, 1, 0.0, 512
    ),
    "flux2-klein": Model("black-forest-labs/FLUX.2-klein-4B", "Apache-2.0", 13, 4, 1.0, 1024),
    "z-image-turbo": Model("Tongyi-MAI/Z-Image-Turbo", "Apache-2.0", 16, 8, 0.0, 1024),
}


def load_pipeline(
    name: str = SMALL, device: str | None = None, dtype: torch.dtype | None = None
) -> diffusers.DiffusionPipeline:
    """A pipeline ready to draw: pipe(prompt, **settings(pipe)).images[0].

    name: a name in MODELS, the path of a diffusers folder, or any "owner/name" on the hub.
    device: best_device() unless given. dtype: best_dtype(device) unless given; the small model is
    always fast enough in float32, which draws the same picture everywhere.
    If a model from the hub cannot be had, one printed sentence says why, and the small one is
    loaded in its place. Raises ValueError for a name, folder or device that does not exist.
    """
    name = str(name)
    device = check_device(device) if device else best_device()
    folder = _folder(name)
    if folder:
        small = folder.name == SMALL
        default = torch.float32 if small else best_dtype(device)
        try:
            pipe = _load(str(folder), device, dtype or default)
        except Exception as error:
            raise ValueError(f"The folder {folder} could not be loaded: {_first(error)}") from error
        return warn_of_unknown_words(pipe) if small else pipe
    model = MODELS.get(name)
    hub_id = model.id if model else name
    if model:
        slow = " On a CPU one picture takes minutes." if device == "cpu" else ""
        print(f"{hub_id}: licence {model.licence}, {model.memory:g} GB of memory.{slow}")
    try:
        return _load(_reachable(hub_id), device, dtype or best_dtype(device), hub_id)
    # Whatever goes wrong with a download, the chapter goes on with the small model.
    except Exception as error:
        fallback = model.fallback if model else SMALL
        print(f"{hub_id} cannot be used: {_reason(error)}. {fallback} draws instead.")
    return load_pipeline(fallback, device)


def settings(pipe: diffusers.DiffusionPipeline) -> dict:
    """The text-to-image settings a pipeline's model was made for, {} for a model not in MODELS.

    They follow the model that was really loaded, also after a fallback.
    """
    origin = str(pipe.name_or_path)
    for model in MODELS.values():
        if origin == model.id or Path(origin).name == model.id:
            return {
                "num_inference_steps": model.steps,
                "guidance_scale": model.guidance,
                "height": model.size,
                "width": model.size,
            }
    return {}


def check_prompt(prompt: str | list[str] | None, name: str = SMALL) -> list[str]:
    """The words of a prompt that a model never learned; one printed sentence names them.

    Only the small model has a vocabulary short enough to tell; for others the list is empty.
    """
    if name != SMALL or prompt is None:
        return []
    words = unknown_words(prompt if isinstance(prompt, str) else " ".join(prompt))
    if words:
        one = len(words) == 1
        print(
            f"{SMALL} never learned the {'word' if one else 'words'} {', '.join(words)}, "
            f"so {'it' if one else 'they'} will not be in the picture."
        )
    return words


def model_folder(name: str) -> Path:
    """Where a model of the course lies: assets/models of a clone, or inside an installed package.

    Raises ValueError when it is in neither.
    """
    package = Path(__file__).parent
    places = [package.parent / "assets" / "models" / name, package / "assets" / "models" / name]
    for place in places:
        if place.is_dir():
            return place
    raise ValueError(f"{name} is not in {places[0].parent}: fetch it again, or run `make models`.")


def _folder(name: str) -> Path | None:
    """The folder a name means, None if it means a model on the hub, ValueError if neither."""
    if name == SMALL:
        return model_folder(SMALL)
    if name in MODELS:
        return None
    path = Path(name).expanduser()
    if name and path.is_dir():
        if not (path / "model_index.json").is_file():
            raise ValueError(f"{name} is no diffusers pipeline: it has no model_index.json.")
        return path.resolve()
    try:
        utils.validate_repo_id(name)
        if "/" in name:
            return None
    except errors.HFValidationError:
        pass
    near = difflib.get_close_matches(name, MODELS, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ValueError(
        f"There is no model {name!r}: use one of {', '.join(MODELS)}, the path of a folder, "
        f"or owner/name on the hub.{hint}"
    )


def _reachable(hub_id: str) -> str:
    """The id itself if the hub answers, else the folder of an earlier download.

    One request, of five seconds at most: a download would repeat it and wait many times.
    """
    try:
        utils.get_session().head(constants.ENDPOINT, timeout=5)
        return hub_id
    except Exception:  # of either HTTP library that the hub's versions use, or because offline
        # Not from_pretrained(local_files_only=True): before 0.40 that also demands the files which
        # diffusers itself never downloads.
        index = hf_hub_download(hub_id, "model_index.json", local_files_only=True)
        return str(Path(index).parent)


def _load(
    source: str, device: str, dtype: torch.dtype, name: str | None = None
) -> diffusers.DiffusionPipeline:
    # Before 0.40 diffusers ignores `dtype`; from 0.40 on it warns of `torch_dtype`.
    keyword = "dtype" if Version(diffusers.__version__) >= Version("0.40") else "torch_dtype"
    with quiet():
        pipe = diffusers.DiffusionPipeline.from_pretrained(source, **{keyword: dtype}).to(device)
    pipe.register_to_config(_name_or_path=name or source)  # what settings() goes by
    pipe.set_progress_bar_config(disable=True)
    return pipe


@contextmanager
def quiet() -> Iterator[None]:
    """Keep bars and advice about loading off the page; what the hub downloads keeps its bar."""
    bars = [diffusers.utils.logging, transformers.utils.logging]
    loggers = [*bars, utils.logging]
    levels = [logger.get_verbosity() for logger in loggers]
    shown = [bar.is_progress_bar_enabled() for bar in bars]
    downloads = not utils.are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.set_verbosity_error()
        for bar in bars:
            bar.disable_progress_bar()
        # transformers has now switched the downloads' bars too, and does so again at the end.
        downloads_bar = utils.enable_progress_bars if downloads else utils.disable_progress_bars
        downloads_bar()
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.set_verbosity(level)
            for bar in (bar for bar, on in zip(bars, shown, strict=True) if on):
                bar.enable_progress_bar()
            downloads_bar()


def warn_of_unknown_words(pipe: diffusers.DiffusionPipeline) -> diffusers.DiffusionPipeline:
    """The pipeline, which now checks each prompt when it is encoded, as every drawing begins."""

    def encode_prompt(self, *args, **kwargs):
        plain = MethodType(type(self).encode_prompt, self)
        given = inspect.signature(plain).bind(*args, **kwargs).arguments
        check_prompt(given.get("prompt"))
        check_prompt(given.get("negative_prompt"))
        return plain(*args, **kwargs)

    pipe.encode_prompt = MethodType(encode_prompt, pipe)
    return pipe


def _reason(error: BaseException) -> str:
    """Why a model of the hub could not be had, in words."""
    # Libraries wrap errors in errors; what happened may stand behind either link.
    causes = [error]
    for cause in causes:
        causes += {cause.__cause__, cause.__context__} - {None, *causes}

    def caused_by(*kinds: type) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(errors.GatedRepoError):
        return "its owner wants the licence accepted on its page and you logged in (hf auth login)"
    if caused_by(errors.RepositoryNotFoundError, errors.DisabledRepoError):
        return "no folder here and no public model on the hub has this name"
    if caused_by(errors.RemoteEntryNotFoundError, errors.RevisionNotFoundError):
        return "it is no diffusers pipeline (a file that every pipeline has is missing)"
    if caused_by(torch.OutOfMemoryError, MemoryError):
        return "it does not fit into the memory of this machine"
    if constants.HF_HUB_OFFLINE:
        return "it is not on this disk, and HF_HUB_OFFLINE forbids to download it"
    if caused_by(errors.LocalEntryNotFoundError, errors.HfHubHTTPError, ConnectionError):
        return "it is not on this disk, and the hub could not be reached"
    return _first(error)


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
