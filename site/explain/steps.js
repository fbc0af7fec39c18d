// The noise, the picture as it comes, and the slider over its steps.

import { grey, paint, preview } from "./canvas.js";
import { Generator } from "./noise.js";
import { byId, element } from "./page.js";

export function showSteps(session) {
  const { about } = session;
  const slider = byId("step");
  let playing = null;

  const showNoise = () => {
    const size = about.latent.reduce((a, b) => a * b);
    const noise = new Generator(session.recipe.seed).normal(size);
    const [, channels] = about.latent;
    byId("channels").replaceChildren(
      ...Array.from({ length: channels }, (_, c) => {
        const canvas = element("canvas", { role: "img", "aria-label": `Noise, channel ${c + 1}` });
        paint(canvas, grey(noise.subarray((c * size) / channels, ((c + 1) * size) / channels)));
        return canvas;
      }),
    );
    byId("numbers").textContent = [...noise.subarray(0, 5)].map((x) => x.toFixed(4)).join("  ");
    if (!session.drawing) {
      for (const id of ["picture", "noisy"]) paint(byId(id), preview(about.preview, noise));
    }
  };

  const showStep = () => {
    const { step, drawing } = session;
    if (!step) return;
    const guess = session.darkroom.ready(step.x0) ?? preview(about.preview, step.x0);
    paint(byId("picture"), guess);
    paint(byId("guess"), guess);
    paint(byId("noisy"), preview(about.preview, step.xt));
    slider.max = step.of - 1;
    slider.value = step.i;
    const words = `step ${step.i + 1} of ${step.of}`;
    byId("step-value").innerHTML = `${words}<span>, t = ${Math.round(step.t)}</span>`;
    slider.setAttribute("aria-valuetext", words);
    const last = drawing.pixels && session.shown === drawing.steps.length - 1;
    byId("picture").setAttribute(
      "aria-label",
      last ? `Picture drawn from: ${drawing.recipe.prompt}` : `The guess of ${words}`,
    );
    byId("caption").textContent = last ? drawing.recipe.prompt : `the guess of ${words}`;
    if (drawing.pixels) session.darkroom.now(step.x0, () => {});
  };

  const pause = () => {
    clearInterval(playing);
    playing = null;
    byId("play").textContent = "▶";
    byId("play").setAttribute("aria-label", "Play the steps");
  };
  const play = () => {
    if (session.shown === session.drawing.steps.length - 1) session.show(0);
    playing = setInterval(() => {
      if (session.shown >= session.drawing.steps.length - 1) pause();
      else session.show(session.shown + 1);
    }, 180);
    byId("play").textContent = "❚❚";
    byId("play").setAttribute("aria-label", "Pause");
  };

  byId("play").onclick = () => (playing ? pause() : play());
  slider.oninput = () => {
    pause();
    session.show(Math.min(Number(slider.value), session.drawing.steps.length - 1));
  };
  session.addEventListener("begin", () => {
    pause();
    byId("film").hidden = false;
    byId("play").disabled = slider.disabled = true;
  });
  session.addEventListener("done", () => {
    byId("play").disabled = slider.disabled = false;
  });
  session.addEventListener("recipe", showNoise);
  session.addEventListener("shown", showStep);
  session.addEventListener("developed", showStep);
  showNoise();
}
