"""The text encoder and the U-Net of storybook-sd, trained together on latents of pictures.

    xt = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps
    v  = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0
    loss = |v - v_hat(xt, t, text)|^2

The schedule is rescaled to zero terminal SNR (Lin et al. 2024), so that the last step is
pure noise and nights can be dark; eps cannot be predicted there, v can.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from imagegen.latent import as_tensor
from imagegen.storybook import caption, vocabulary, words
from imagegen.storybook.synonyms import SYNONYMS, reworded
from imagegen.training.data import CELLS, pictures, scene, stored
from imagegen.training.loop import generator

LENGTH = 32  # tokens a prompt may have; the longest caption needs fewer
DETAIL_WEIGHT = 5.0  # how much more an error counts where birds, a balloon or cars are
SCHEDULE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction", "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}  # fmt: skip


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer to which each word of the captions is one token; others fall into pieces.

    It is built once and then read from the folder: the library breaks ties between equally
    frequent pairs by chance, and the weights belong to the numbers that the words had.
    """
    if not (folder / "vocab.json").exists():
        bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
        bpe.pre_tokenizer = pre_tokenizers.Whitespace()
        letters = [c for c in "abcdefghijklmnopqrstuvwxyz0123456789"]
        trainer = trainers.BpeTrainer(
            vocab_size=4096, end_of_word_suffix="</w>", initial_alphabet=letters,
            show_progress=False,
        )  # fmt: skip
        bpe.train_from_iterator(vocabulary(), trainer)
        learned = json.loads(bpe.to_str())["model"]
        merges = [tuple(m) for m in learned["merges"]]
        tokens = [*letters, *",-.'!?", *(c + "</w>" for c in [*letters, *",-.'!?"])]
        tokens = list(dict.fromkeys([*tokens, *("".join(m) for m in merges)]))
        tokens += ["<|startoftext|>", "<|endoftext|>"]
        pairs = "".join(f"{a} {b}\n" for a, b in merges)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "merges.txt").write_text("#version: 0.2\n" + pairs)
        (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LENGTH,
        unk_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip


def build(tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, UNet2DConditionModel]:
    """The untrained text encoder and U-Net."""
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=3,
            num_attention_heads=4, max_position_embeddings=LENGTH, projection_dim=128,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=8, out_channels=8, layers_per_block=(3, 1, 1),
        block_out_channels=(64, 128, 192), norm_num_groups=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128, attention_head_dim=4,
    )  # fmt: skip
    return text_encoder, unet


@torch.no_grad()
def grow(
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
    tokenizer: CLIPTokenizer,
    pipe: StableDiffusionPipeline,
) -> None:
    """Begin an untrained model with the weights of one that has fewer layers and fewer words.

    It then draws exactly as before: an added ResNet passes on what comes in, and a new word means
    what the word means that it stands for.
    """
    old, new = pipe.unet.state_dict(), unet.state_dict()

    def count(weights: dict, level: str) -> int:
        return sum(n.startswith(level) and n.endswith("conv1.bias") for n in weights)

    for name, w in new.items():
        part = re.fullmatch(r"((?:down|up)_blocks\.\d\.resnets\.)(\d)(\..*)", name)
        if not part:
            w.copy_(old[name])
            continue
        level, place, rest = part[1], int(part[2]), part[3]
        have, want = count(old, level), count(new, level)
        # On the way up the last layer stays the last: it meets what went in first.
        last = level.startswith("up") and place == want - 1
        if last or place < have - level.startswith("up"):
            w.copy_(old[f"{level}{have - 1 if last else place}{rest}"])
        elif rest.startswith((".conv2", ".conv_shortcut")):
            w.zero_()
            if rest == ".conv_shortcut.weight":
                w[:, : len(w), 0, 0] = torch.eye(len(w))
    known = pipe.text_encoder.state_dict()
    for name, w in text_encoder.state_dict().items():
        if "token_embedding" not in name:
            w.copy_(known[name])
    rows = text_encoder.get_input_embeddings().weight
    old_rows = pipe.text_encoder.get_input_embeddings().weight
    numbers = pipe.tokenizer.get_vocab()
    for token, i in tokenizer.get_vocab().items():
        if token in numbers:
            rows[i] = old_rows[numbers[token]]
    for word, others in SYNONYMS.items():
        meaning = old_rows[pipe.tokenizer(word).input_ids[1:-1]].mean(0)
        for one in words(" ".join(others)):
            if f"{one}</w>" not in numbers:
                rows[tokenizer(one).input_ids[1]] = meaning


class Loss(nn.Module):
    """The v-prediction loss of latents (n, 8, 16, 16) under token ids (n, 32).

    weight, (n, 16, 16): how much each place of a latent counts.
    """

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet.to(memory_format=torch.channels_last)
        if not torch.cuda.is_available():  # the fused attention has a slow backward pass on CPUs
            self.unet.set_attn_processor(AttnProcessor())
        self.register_buffer(
            "alpha_bar", DDIMScheduler(**SCHEDULE).alphas_cumprod, persistent=False
        )

    def forward(self, x0: Tensor, eps: Tensor, t: Tensor, tokens: Tensor, weight: Tensor) -> Tensor:
        """The weighted mean squared error of v_hat."""
        signal = self.alpha_bar[t].sqrt()[:, None, None, None]
        noise = (1 - self.alpha_bar[t]).sqrt()[:, None, None, None]
        xt = (signal * x0 + noise * eps).to(memory_format=torch.channels_last)
        text = self.text_encoder(tokens).last_hidden_state
        v_hat = self.unet(xt, t, encoder_hidden_states=text).sample
        error = (v_hat.float() - (signal * eps - noise * x0)).square()
        return (weight[:, None] * error).mean()


def latents(vae: AutoencoderKL, n: int, seed: int, folder: Path) -> np.ndarray:
    """Mean latents of n pictures, float16 (n, 8, 16, 16), unscaled; read from disk if there."""
    channels = vae.config.latent_channels

    @torch.inference_mode()
    def rows(have: int) -> Iterable[np.ndarray]:
        data = pictures(n, seed, folder)
        vae.to(memory_format=torch.channels_last)
        for start in range(have, n, 32):
            x = as_tensor(data[start : start + 32]).to(vae.device)
            with torch.autocast(vae.device.type, torch.bfloat16):
                z = vae.encode(x.to(memory_format=torch.channels_last)).latent_dist.mode()
            yield z.float().cpu().numpy()

    return stored(folder / f"latents-{seed}.f16", (n, channels, CELLS, CELLS), np.float16, rows)


def some_caption(index: int, seed: int, rng: random.Random) -> str:
    """A caption for training: four fifths name all factors, a tenth a part, a tenth nothing.

    Half of them keep to the words of captions, the others take many synonyms.
    """
    kind = rng.random()
    if kind < 0.1:
        return ""  # what guidance compares with
    text = caption(scene(index, seed), rng, keep=1 if kind < 0.9 else rng.uniform(0.3, 0.9))
    return reworded(text, rng) if rng.random() < 0.5 else text


def t_shares() -> Tensor:
    """How often training meets each t, summing to 1: (1000,).

    Half is spread evenly; half follows sqrt(alpha_bar (1 - alpha_bar)), which is largest where
    picture and noise are equally strong: there shapes are decided, and most is left to learn.
    """
    alpha_bar = DDIMScheduler(**SCHEDULE).alphas_cumprod
    weight = (alpha_bar * (1 - alpha_bar)).sqrt()
    return 0.5 / len(weight) + 0.5 * weight / weight.sum()


def batches(
    data: np.ndarray, scale: float, details: np.ndarray, tokenizer: CLIPTokenizer, seed: int,
    batch_size: int,
):  # fmt: skip
    """A function from the step number to (x0, eps, t, tokens, weight).

    details: detail_cells() of the pictures; where they are, an error counts more, because a few
    birds are so small a part of a picture that their word would be learned last.
    """
    share = t_shares().cumsum(0)

    def batch(step: int) -> tuple[Tensor, ...]:
        g = generator(seed, step)
        rows = torch.randint(len(data), (batch_size,), generator=g).tolist()
        rng = random.Random(f"{seed}/{step}/{rows[0]}")
        x0 = torch.from_numpy(data[rows].astype(np.float32)) * scale
        eps = torch.randn(x0.shape, generator=g)
        # One t from each of batch_size parts of equal share: every batch sees all noise levels.
        u = (torch.arange(batch_size) + torch.rand(batch_size, generator=g)) / batch_size
        t = torch.searchsorted(share, u).clamp(max=999)
        texts = [some_caption(i, seed, rng) for i in rows]
        tokens = tokenizer(
            texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
        )
        weight = 1 + DETAIL_WEIGHT * torch.from_numpy(details[rows].astype(np.float32))
        return x0, eps, t, tokens.input_ids, weight

    return batch


def forget_unused(text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer) -> None:
    """Zero the embeddings of tokens that no caption contains: they never learned anything."""
    used = {i for ids in tokenizer(vocabulary()).input_ids for i in ids}
    table = text_encoder.get_input_embeddings().weight
    unused = [i for i in range(len(table)) if i not in used]
    with torch.no_grad():
        table[unused] = 0
