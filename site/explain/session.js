// What the views share: the recipe asked for, the drawing that is there, and the step shown.
//
// Events: "recipe" the form has changed · "begin" a drawing begins · "shown" another step is
// shown · "done" the drawing is finished.

import { Darkroom } from "./darkroom.js";

export class Session extends EventTarget {
  constructor(about, painter, recipe) {
    super();
    this.about = about;
    this.painter = painter;
    this.darkroom = new Darkroom(painter);
    this.recipe = recipe;
    this.drawing = null; // {recipe, steps, pixels, seconds}
    this.shown = 0;
  }

  // Change settings of the recipe.
  ask(settings) {
    Object.assign(this.recipe, settings);
    this.#tell("recipe");
  }

  // Draw the recipe as it is now; a drawing that is under way is stopped.
  async draw() {
    this.stop();
    const stopper = new AbortController();
    this.stopper = stopper;
    const drawing = { recipe: { ...this.recipe }, steps: [], pixels: null };
    this.drawing = drawing;
    this.darkroom.pause();
    this.#tell("begin");
    const onStep = (step) => {
      if (stopper.signal.aborted) return;
      drawing.steps.push(step);
      this.show(drawing.steps.length - 1);
    };
    const answer = await this.painter.draw(drawing.recipe, { onStep, signal: stopper.signal });
    if (!answer || this.drawing !== drawing) return;
    Object.assign(drawing, answer);
    const last = drawing.steps.at(-1);
    this.darkroom.done.set(last.x0, answer.pixels); // the last guess is the picture
    this.#tell("done");
    this.show(drawing.steps.length - 1);
    for (const step of [...drawing.steps].reverse()) {
      this.darkroom.later(step.x0, () => this.#tell("developed"));
    }
    this.darkroom.resume();
  }

  stop() {
    this.stopper?.abort();
  }

  // Show one step of the drawing.
  show(i) {
    this.shown = i;
    this.#tell("shown");
  }

  get step() {
    return this.drawing?.steps[this.shown];
  }

  #tell(what) {
    this.dispatchEvent(new Event(what));
  }
}
