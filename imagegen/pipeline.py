"""Stable Diffusion by hand: its parts, in the order in which they meet.

    prompt -> tokens -> embeddings -> (U-Net -> guidance -> scheduler) x steps -> decoder -> picture

text_to_image() draws, bit for bit, what the StableDiffusionPipeline of diffusers draws. Built in
chapter 8.
"""

import torch
from PIL import Image

from imagegen.guide import guided


def text_embeddings(pipe, text):
    """What the text encoder says about a text: (1, tokens, width), one vector for each token.

    Every text becomes equally many tokens: a short one is padded, a long one is cut off.
    """
    tokens = pipe.tokenizer(
        text, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    return pipe.text_encoder(tokens.to(pipe.device))[0]


@torch.no_grad()
def text_to_image(pipe, prompt, steps=20, w=5.0, seed=0, negative=""):
    """The picture of a prompt and a seed, drawn with the parts of a StableDiffusionPipeline.

    w: guidance scale as in diffusers; 1 or less asks the U-Net for the prompt alone. The picture
    is that of pipe(prompt, num_inference_steps=steps, guidance_scale=w, negative_prompt=negative,
    generator=torch.Generator().manual_seed(seed)), whatever its scheduler. No safety checker runs.
    """
    text = text_embeddings(pipe, prompt)
    if w > 1:
        text = torch.cat([text_embeddings(pipe, negative), text])
    plan, size = pipe.scheduler, pipe.unet.config.sample_size
    plan.set_timesteps(steps, device=pipe.device)
    noise = torch.Generator().manual_seed(seed)
    shape = (1, pipe.unet.config.in_channels, size, size)
    xt = torch.randn(shape, generator=noise, dtype=text.dtype).to(pipe.device)
    xt = xt * plan.init_noise_sigma
    extra = pipe.prepare_extra_step_kwargs(noise, 0.0)
    for t in plan.timesteps:
        x = plan.scale_model_input(torch.cat([xt] * len(text)), t)
        out = pipe.unet(x, t, encoder_hidden_states=text).sample
        if w > 1:
            out = guided(*out.chunk(2), w)
        xt = plan.step(out, t, xt, **extra).prev_sample
    pixels = pipe.vae.decode(xt / pipe.vae.config.scaling_factor).sample[0]
    pixels = (pixels / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).float().cpu()
    return Image.fromarray((pixels * 255).round().to(torch.uint8).numpy())
