"""The model as files that a browser can run: ONNX graphs, their weights, and one model.json.

    text_encoder   ids (2, tokens)              -> words (2, tokens, d): the negative prompt's first
    unet           x, t, words                  -> answer, and where each token is read: maps
    decoder        z (1, c, h, w)               -> picture in -1..1
    encoder        picture                      -> mean and spread of its latents
    oracle         picture                      -> each factor's probabilities, one after another

Nothing is lost: every weight of the model is kept as it is. A part whose weights all fit in
half precision, as the model stores them, travels in two bytes a weight. The high bytes come
first, then the low ones, and both are packed by gzip, which finds more in bytes of one kind.
Everything the page needs to know of the model, from its sizes to its vocabulary, is read here.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from describe import describe, latent_shape
from onnx import TensorProto, external_data_helper, numpy_helper
from PIL import Image
from torch import Tensor, nn

from imagegen import measure
from imagegen.attention import recorded_attention, token_maps
from imagegen.models import settings
from imagegen.storybook import FACTORS
from imagegen.training.evaluate import PROMPTS

LARGE = 256  # bytes from which a constant of a graph is moved to the weights


class Words(nn.Module):
    """Token ids to vectors, without what transformers wraps around them."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (2, tokens) -> vectors (2, tokens, d)."""
        return self.encoder(ids)[0]


class Unet(nn.Module):
    """The U-Net, which also says where in the picture it reads each token."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """As the U-Net's own: (2, c, h, w), and maps (tokens, h, h) of the second row."""
        with recorded_attention(self.unet) as record:
            answer = self.unet(x, t, words).sample
        return answer, token_maps(record[0], x.shape[-1])


class Decoder(nn.Module):
    """Scaled latents to a picture."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, z: Tensor) -> Tensor:
        """Latents (n, c, h, w) -> pictures (n, 3, H, W) in about -1..1."""
        return self.vae.decode(z / self.vae.config.scaling_factor).sample


class Encoder(nn.Module):
    """A picture to the distribution of its latents, before they are scaled."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Picture (1, 3, H, W) in -1..1 -> mean and standard deviation (1, c, h, w)."""
        latents = self.vae.encode(picture).latent_dist
        return latents.mean, latents.std


class Verdict(nn.Module):
    """The oracle's probabilities of all values of all factors in one row."""

    def __init__(self, oracle: nn.Module) -> None:
        super().__init__()
        self.oracle = oracle

    def forward(self, picture: Tensor) -> Tensor:
        """Picture (1, 3, H, W) in -1..1 -> (1, number of all values)."""
        scores = self.oracle(picture)
        return torch.cat([scores[f].softmax(1) for f in FACTORS], dim=1)


def parts(pipe) -> dict[str, tuple[nn.Module, dict[str, Tensor], list[str]]]:
    """Each part by its name: (module, real inputs to trace and check it with, names of outputs)."""
    size = settings(pipe)["height"]
    g = torch.Generator().manual_seed(0)
    shape = latent_shape(pipe)
    ids = pipe.tokenizer(
        ["", PROMPTS[0]], padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    x = torch.randn(shape, generator=g).expand(2, -1, -1, -1).contiguous()
    picture = torch.rand(1, 3, size, size, generator=g) * 2 - 1
    with torch.no_grad():  # a tensor of inference mode cannot be traced
        words = Words(pipe.text_encoder)(ids)
    middle = torch.tensor([pipe.scheduler.config.num_train_timesteps // 2], dtype=torch.float32)
    return {
        "text_encoder": (Words(pipe.text_encoder), {"ids": ids}, ["words"]),
        "unet": (Unet(pipe.unet), {"x": x, "t": middle, "words": words}, ["answer", "maps"]),
        "decoder": (Decoder(pipe.vae), {"z": x[:1].clone()}, ["picture"]),
        "encoder": (Encoder(pipe.vae), {"picture": picture}, ["mean", "spread"]),
        "oracle": (Verdict(measure.oracle()), {"picture": picture}, ["shares"]),
    }


def export(pipe, folder: Path) -> dict:
    """Write every part and model.json into a folder, and return what model.json says.

    Raises ValueError for a part whose answers are not the model's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = describe(pipe) | {"preview": preview(pipe), "parts": {}}
    for name, (module, inputs, outputs) in parts(pipe).items():
        graph = _graph(module.eval(), inputs, outputs)
        apart = difference(graph, module, inputs)
        if not apart < 1e-4:
            raise ValueError(f"The {name} answers otherwise than the model by {apart:.1e}.")
        files = _write(graph, folder, name)
        about["parts"][name] = files | {"outputs": outputs, "difference": apart}
    text = json.dumps(about, ensure_ascii=False)
    (folder / "model.json").write_text(text, encoding="utf-8")
    return about


def difference(graph: onnx.ModelProto, module: nn.Module, inputs: dict[str, Tensor]) -> float:
    """The largest difference between what a graph and its module answer to the same inputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    answers = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.inference_mode():
        expected = module(*inputs.values())
    expected = [expected] if isinstance(expected, Tensor) else expected
    return max(float(np.abs(a - e.numpy()).max()) for a, e in zip(answers, expected, strict=True))


def preview(pipe) -> list[list[float]]:
    """The matrix (3, c + 1) that best makes colours of latents; its last column is added.

    Fitted by least squares to pictures that the model draws from its own prompts.
    """
    g = [torch.Generator().manual_seed(seed) for seed in range(len(PROMPTS))]
    with torch.inference_mode():
        z = pipe(list(PROMPTS), generator=g, output_type="latent", **settings(pipe)).images
        colours = Decoder(pipe.vae)(z)
    small = F.interpolate(colours, z.shape[-2:], mode="area").permute(1, 0, 2, 3).flatten(1)
    rows = torch.cat([z, torch.ones_like(z[:, :1])], 1).permute(1, 0, 2, 3).flatten(1)
    return torch.linalg.lstsq(rows.T, small.T).solution.T.tolist()


def film(pipe, path: Path) -> None:
    """Save the guesses of one drawing side by side, from noise to picture, as one JPEG.

    What a visitor sees before anything was drawn; the recipe is the page's usual one.
    """
    frames = []

    def keep(pipe, step, t, now):
        guesses = getattr(pipe.scheduler, "model_outputs", None)
        frames.append(now["latents"] if not guesses or guesses[-1] is None else guesses[-1])
        return now

    seed = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        pipe(PROMPTS[0], generator=seed, callback_on_step_end=keep, **settings(pipe))
        pictures = [pipe.image_processor.postprocess(Decoder(pipe.vae)(z))[0] for z in frames]
    strip = Image.new("RGB", (sum(p.width for p in pictures), pictures[0].height))
    for place, picture in enumerate(pictures):
        strip.paste(picture, (place * picture.width, 0))
    strip.save(path, quality=80, optimize=True)


def _graph(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str]) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=outputs,
            verbose=False,
        )
    model = program.model_proto
    # Where each node came from in Python only makes the file longer.
    for node in [*model.graph.node, *model.graph.initializer, *model.graph.value_info]:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    del model.functions[:]
    return model


def _write(model: onnx.ModelProto, folder: Path, name: str) -> dict:
    """Write NAME.onnx and NAME.bin, and return their sizes and what the page must know to read."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    large, offset = [], 0
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.nbytes < LARGE:
            continue
        large.append(values.ravel())
        tensor.ClearField("float_data")
        tensor.raw_data = b""
        external_data_helper.set_external_data(
            tensor, f"{name}.bin", offset=offset, length=values.nbytes
        )
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        offset += values.nbytes
    weights = np.concatenate(large)
    half = np.array_equal(weights.astype(np.float16).astype(np.float32), weights)
    data = weights.astype("<f2" if half else "<f4")
    planes = data.view(np.uint8).reshape(len(data), -1).T[::-1]  # the high bytes first
    packed = gzip.compress(planes.tobytes(), 9, mtime=0)
    graph = gzip.compress(model.SerializeToString(), 9, mtime=0)
    (folder / f"{name}.bin").write_bytes(packed)
    (folder / f"{name}.graph").write_bytes(graph)
    return {
        "bytes": len(packed) + len(graph),
        "weights": len(weights),
        "planes": data.itemsize,
        "sha256": hashlib.sha256(packed + graph).hexdigest(),
    }
