// Stable Diffusion's loop: noise, steps of guidance and scheduler, and the picture at the end.

import { Generator } from "./noise.js";
import { makeScheduler } from "./schedulers.js";

// Draw a recipe with a Model, and say after each step what was seen in it:
//
//     {i, of, t, xt, x0, x0Without, x0Given, maps}
//
// start: {picture, strength} to begin from a picture in -1..1 in place of noise.
// The last word is {z, words}: the latents of the picture.
export async function* draw(model, recipe, start = null) {
  const size = model.about.latent.reduce((a, b) => a * b);
  const scheduler = makeScheduler(
    model.about.schedulers[recipe.scheduler], recipe.scheduler, recipe.steps,
  );
  const words = await model.encodeText(recipe.negative_prompt, recipe.prompt);
  const generator = new Generator(recipe.seed);
  let first = 0;
  let xt;
  if (start) {
    const run = Math.min(Math.floor(recipe.steps * start.strength), recipe.steps);
    if (run < 1) throw new Error("This strength leaves no step: raise it, or the steps.");
    first = recipe.steps - run;
    const [mean, spread] = await model.encode(start.picture);
    const own = generator.normal(size);
    const x0 = mean.map((m, i) => model.about.scaling * (m + spread[i] * own[i]));
    xt = scheduler.addNoise(x0, generator.normal(size), first);
  } else {
    xt = generator.normal(size).map((e) => e * scheduler.first);
  }
  // As in diffusers, a guidance of 1 or less asks for the prompt alone.
  const w = recipe.guidance > 1 ? recipe.guidance : 1;
  for (let i = first; i < scheduler.times.length; i++) {
    const t = scheduler.times[i];
    const seen = scheduler.input(xt, i);
    const { without, given, maps } = await model.predict(seen, t, words);
    const answer = without.map((a, k) => a + w * (given[k] - a));
    const x0 = scheduler.clean(answer, xt, i);
    yield {
      i: i - first,
      of: scheduler.times.length - first,
      t,
      xt: seen,
      x0,
      x0Without: scheduler.clean(without, xt, i),
      x0Given: scheduler.clean(given, xt, i),
      maps,
    };
    xt = scheduler.step(x0, xt, i);
  }
  yield { z: xt };
}

// A picture in -1..1, one colour after another, as RGBA pixels, rounded as diffusers does it.
export function toPixels(picture) {
  const n = picture.length / 3;
  const pixels = new Uint8ClampedArray(4 * n);
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < 3; c++) {
      const share = Math.fround(Math.fround(picture[c * n + i] / 2) + 0.5);
      pixels[4 * i + c] = share * 255; // a clamped array rounds halves to even, as NumPy does
    }
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

// RGBA pixels as a picture in -1..1, one colour after another.
export function fromPixels(pixels) {
  const n = pixels.length / 4;
  const picture = new Float32Array(3 * n);
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < 3; c++) picture[c * n + i] = (2 * pixels[4 * i + c]) / 255 - 1;
  }
  return picture;
}
