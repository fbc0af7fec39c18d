// The two guesses of a step, and how far guidance goes beyond them.

import { difference, paint, preview } from "./canvas.js";
import { byId, nearby } from "./page.js";

export function showGuidance(session) {
  const show = () => {
    const { step, about, darkroom, drawing } = session;
    byId("guidance-said").textContent = (drawing?.recipe ?? session.recipe).guidance;
    if (!step) return;
    const pixels = (z) => darkroom.ready(z) ?? preview(about.preview, z);
    const sharp = darkroom.ready(step.x0Without) && darkroom.ready(step.x0Given);
    // Both guesses as sketches until both are developed, so that they differ in nothing else.
    const [without, given] = sharp
      ? [pixels(step.x0Without), pixels(step.x0Given)]
      : [preview(about.preview, step.x0Without), preview(about.preview, step.x0Given)];
    paint(byId("without"), without);
    paint(byId("given"), given);
    paint(byId("apart"), difference(without, given));
    paint(byId("guided"), pixels(step.x0));
    if (drawing.pixels && !sharp && nearby(byId("without"))) {
      for (const z of [step.x0Given, step.x0Without]) {
        darkroom.now(z, () => session.step === step && show());
      }
    }
  };
  session.addEventListener("recipe", show);
  session.addEventListener("shown", show);
  session.addEventListener("developed", show);
  new IntersectionObserver(show).observe(byId("without"));
  show();
}
