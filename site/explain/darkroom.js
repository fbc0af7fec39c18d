// Latents are developed into pictures in the background, the last one asked for first.

export class Darkroom {
  constructor(painter) {
    this.painter = painter;
    this.done = new WeakMap(); // latents -> pixels
    this.waiting = [];
    this.paused = true;
  }

  // The pixels of latents that are already developed, or undefined.
  ready(z) {
    return this.done.get(z);
  }

  // Develop latents before all others, and call back with their pixels.
  now(z, onReady) {
    if (this.done.has(z)) onReady(this.done.get(z));
    else this.#enter(z, onReady, "unshift");
  }

  // Develop latents when there is nothing else to do.
  later(z, onReady) {
    this.#enter(z, onReady, "push");
  }

  // Forget all that is waiting; nothing is developed until resume().
  pause() {
    this.paused = true;
    this.waiting = [];
  }

  resume() {
    this.paused = false;
    this.#work();
  }

  #enter(z, onReady, way) {
    this.waiting[way]({ z, onReady });
    this.#work();
  }

  async #work() {
    if (this.busy || this.paused || !this.waiting.length) return;
    const { z, onReady } = this.waiting.shift();
    this.busy = true;
    try {
      if (!this.done.has(z)) this.done.set(z, await this.painter.decode(z));
      onReady(this.done.get(z));
    } finally {
      this.busy = false;
      this.#work();
    }
  }
}
