"""The hand that draws for the server: storybook-sd behind the three tasks that the API has.

Text to a picture, a picture to a picture, and a part of a picture, all with the stock pipelines
of diffusers as in chapters 8 and 10. Previews are the model's guess x0_hat in the middle of the
way, decoded.
"""

import torch

from imagegen.api.painter import Job
from imagegen.edit import decode, steps_run
from imagegen.latent import encode
from imagegen.models import SMALL, as_task, load_pipeline
from imagegen.recipe import scheduler_name


class Hand:
    """The loaded model, one pipeline for each task around the same weights."""

    def __init__(self):
        pipe = load_pipeline()
        self.pipes = {task: as_task(pipe, task) for task in ("image-to-image", "inpaint")}
        self.pipes["text-to-image"] = pipe

    def draw(self, job: Job, number: int, seed: int) -> None:
        """Draw one picture of a job, telling it of previews and of the picture, unless it left."""
        asked = job.drawing
        given, steps = {}, asked.steps
        width, height = asked.size
        if asked.starts:
            steps = steps_run(asked.steps, asked.strength)
            given = {"image": self.mean(asked.starts), "strength": asked.strength}
        if asked.mask:
            given["mask_image"] = asked.mask
        if not asked.starts or asked.mask:
            given |= {"width": width, "height": height}
        task = "inpaint" if asked.mask else "image-to-image" if asked.starts else "text-to-image"
        pipe = self.pipes[task]
        # The first of P previews comes before half of the time, whatever P.
        shows = [steps * (k + 1) // (asked.partial_images + 2) for k in range(asked.partial_images)]

        def on_step(pipe, i, t, now):
            if job.left:
                pipe._interrupt = True
            elif i + 1 in shows:
                # What DPM-Solver++ keeps of its last step is x0_hat, not noise.
                preview = decode(pipe, pipe.scheduler.model_outputs[-1])
                job.tell("partial", shows.index(i + 1), preview, None)
            return {}

        with torch.no_grad():
            image = pipe(
                asked.prompt,
                num_inference_steps=asked.steps,
                guidance_scale=asked.guidance,
                generator=torch.Generator().manual_seed(seed),
                callback_on_step_end=on_step,
                **given,
            ).images[0]
        if job.left:
            return
        recipe = {
            "prompt": asked.prompt,
            "negative_prompt": "",
            "seed": seed,
            "steps": asked.steps,
            "guidance": asked.guidance,
            "width": width,
            "height": height,
            "scheduler": scheduler_name(pipe),
            "model": SMALL,
        }
        if asked.starts:
            recipe["strength"] = asked.strength
        job.tell("picture", number, image, recipe)

    def mean(self, starts):
        """One picture to begin with: of several, the picture of the mean of their latents."""
        if len(starts) == 1:
            return starts[0]
        pipe = self.pipes["text-to-image"]
        pixels = torch.cat([pipe.image_processor.preprocess(start) for start in starts])
        latents = encode(pipe.vae, pixels.to(pipe.device, pipe.vae.dtype))
        with torch.no_grad():
            return decode(pipe, latents.mean(0, keepdim=True))
