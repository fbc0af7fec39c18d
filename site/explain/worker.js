// The model in a thread of its own, so that the page never waits for it. It answers one question
// after another: {id, ask, ...} -> {id, step} any number of times, then {id, answer} or {id, error}.

import { draw, fromPixels, toPixels } from "./draw.js";
import { Model } from "./model.js";

const stopped = new Set();
const breath = new MessageChannel();
let model;
let queue = Promise.resolve();

const answers = {
  async load({ id }) {
    model = await Model.load(new URL("model/", import.meta.url), (progress) => {
      self.postMessage({ id, step: progress });
    });
    return { threads: self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1 };
  },

  async draw({ id, recipe, start }) {
    if (start) start.picture = fromPixels(start.pixels);
    const began = performance.now();
    let z;
    for await (const step of draw(model, recipe, start)) {
      if (step.z) z = step.z;
      else self.postMessage({ id, step });
      await heard(); // a stop may have come
      if (stopped.delete(id)) return null;
    }
    const pixels = toPixels(await model.decode(z));
    return { z, pixels, seconds: (performance.now() - began) / 1000 };
  },

  async decode({ z }) {
    return toPixels(await model.decode(z));
  },

  async judge({ pixels }) {
    return model.judge(fromPixels(pixels));
  },
};

self.onmessage = ({ data }) => {
  if (data.ask === "stop") {
    stopped.add(data.id);
    return;
  }
  queue = queue.then(async () => {
    try {
      self.postMessage({ id: data.id, answer: await answers[data.ask](data) });
    } catch (error) {
      self.postMessage({ id: data.id, error: error.message });
    }
  });
};

// Wait until all messages that are already here were handled.
function heard() {
  return new Promise((done) => {
    breath.port1.onmessage = done;
    breath.port2.postMessage(null);
  });
}
