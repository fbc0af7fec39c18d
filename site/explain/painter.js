// The page's end of worker.js: questions as promises.

export class Painter {
  constructor() {
    this.waiting = new Map();
    this.count = 0;
  }

  // Fetch the model, once; onProgress({loaded, total}) in bytes.
  load(onProgress) {
    this.loading ??= this.#start(onProgress).catch((error) => {
      this.loading = null;
      throw error;
    });
    return this.loading;
  }

  async #start(onProgress) {
    await keeper();
    this.worker ??= this.#hire();
    return this.#ask({ ask: "load" }, onProgress);
  }

  #hire() {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => {
      const asked = this.waiting.get(data.id);
      if (!asked) return;
      if ("step" in data) {
        asked.onStep(data.step);
        return;
      }
      this.waiting.delete(data.id);
      if ("error" in data) asked.reject(new Error(data.error));
      else asked.resolve(data.answer);
    };
    worker.onerror = (event) => {
      const error = new Error(event.message || "The drawing thread could not be started.");
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
      this.worker = this.loading = null;
    };
    return worker;
  }

  // Draw a recipe: {z, pixels, seconds}, or null if it was stopped by the signal.
  draw(recipe, { onStep = () => {}, signal, start } = {}) {
    return this.#ask({ ask: "draw", recipe, start }, onStep, signal);
  }

  decode(z) {
    return this.#ask({ ask: "decode", z });
  }

  judge(pixels) {
    return this.#ask({ ask: "judge", pixels });
  }

  #ask(question, onStep = () => {}, signal = null) {
    const id = ++this.count;
    const answer = new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onStep });
    });
    this.worker.postMessage({ id, ...question });
    signal?.addEventListener("abort", () => this.worker.postMessage({ ask: "stop", id }));
    return answer;
  }
}

// Wait for sw.js to be at work, or at most two seconds: only then is it given what the worker
// fetches, to keep it for a visit without a network.
async function keeper() {
  const own = navigator.serviceWorker;
  if (!own || own.controller) return;
  await Promise.race([
    new Promise((done) => own.addEventListener("controllerchange", done, { once: true })),
    new Promise((done) => setTimeout(done, 2000)),
  ]);
}
