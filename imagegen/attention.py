"""Where in the picture a word is read: the weights of cross-attention, kept while drawing.

    weights = softmax(q k^T / sqrt(d))   q: one vector a position, k: one vector a token
    out     = weights v                  for each position a mixture of the tokens' v

Built in chapter 8.
"""

import io
from collections.abc import Iterable, Sequence
from contextlib import contextmanager

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate


class KeptAttention:
    """A processor for an attention layer of diffusers, which also keeps the weights.

    record: a list of lists; the last one gets the weights (batch, heads, positions, tokens).
    """

    def __init__(self, record):
        self.record = record

    def __call__(self, attn, hidden_states, encoder_hidden_states, **unused):
        q = attn.head_to_batch_dim(attn.to_q(hidden_states))
        k = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        v = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        weights = (q @ k.transpose(1, 2) * attn.scale).softmax(-1)
        self.record[-1].append(weights.unflatten(0, (-1, attn.heads)))
        out = attn.batch_to_head_dim(weights @ v)
        return attn.to_out[1](attn.to_out[0](out))


@contextmanager
def recorded_attention(unet):
    """Record the cross-attention of a UNet2DConditionModel: `with recorded_attention(unet) as r:`.

    r[i] holds, for the i-th call of the U-Net, the weights of every cross-attention layer, each
    (batch, heads, positions, tokens). Afterwards the U-Net is as it was, also after an error.
    """
    record, before = [], unet.attn_processors
    kept = KeptAttention(record)
    begin = unet.register_forward_pre_hook(lambda *_: record.append([]))
    unet.set_attn_processor(
        {name: kept if "attn2" in name else other for name, other in before.items()}
    )
    try:
        yield record
    finally:
        begin.remove()
        unet.set_attn_processor(before)


def token_maps(layers, side=16):
    """A map for each token, (tokens, side, side): the mean of the heads and layers of one call.

    layers: an entry of recorded_attention()'s record, of a square picture. Only the last of the
    batch is used, which is the one with the prompt. The maps of all tokens add up to 1 everywhere.
    """
    maps = []
    for weights in layers:
        mean = weights[-1].mean(0).float()  # (positions, tokens)
        size = round(len(mean) ** 0.5)
        grid = mean.T.reshape(1, -1, size, size)
        maps.append(interpolate(grid, side, mode="bilinear"))
    return torch.cat(maps).mean(0)


def token_places(tokenizer, prompt, word):
    """The places of a word's tokens in a prompt, counted from the start token at 0.

    Several for a word that falls into pieces. ValueError if the word is not in the prompt, or
    stands where the text encoder no longer reads.
    """
    pieces, wanted = (tokenizer.tokenize(text, verbose=False) for text in (prompt, word))
    last = min(len(pieces), tokenizer.model_max_length - 2)
    for start in range(last - len(wanted) + 1):
        if wanted and pieces[start : start + len(wanted)] == wanted:
            return [start + 1 + i for i in range(len(wanted))]
    raise ValueError(f"{word!r} is not among the words that are read of {prompt!r}.")


def overlay(
    pictures: Iterable,
    grids: Sequence[Sequence[Tensor]],
    words: Sequence[str],
    rows: Sequence[str] = ("",),
) -> Image.Image:
    """Heat maps over their pictures, with one scale and a colour bar for all of them.

    pictures: one for each row, as matplotlib shows them. grids: for each row the maps of the words.
    """
    import matplotlib.pyplot as plt  # slow to import

    top = max(grid.max().item() for row in grids for grid in row)
    size = (2.1 * len(words) + 0.8, 2.1 * len(grids) + 0.3)
    figure, axes = plt.subplots(
        len(grids), len(words), figsize=size, layout="constrained", squeeze=False
    )
    place = {"extent": (0, 1, 0, 1), "interpolation": "bilinear"}
    for line, picture, row, name in zip(axes, pictures, grids, rows, strict=True):
        line[0].set_ylabel(name)
        for panel, grid in zip(line, row, strict=True):
            panel.imshow(picture, **place)
            heat = panel.imshow(grid.cpu(), "inferno", vmin=0, vmax=top, alpha=0.6, **place)
            panel.set(xticks=[], yticks=[])
    for panel, word in zip(axes[0], words, strict=True):
        panel.set_title(word)
    figure.colorbar(heat, ax=axes, label="share of attention")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    plt.close(figure)
    return Image.open(file).convert("RGB")
