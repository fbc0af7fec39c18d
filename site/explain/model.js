// The model's parts as sessions of ONNX Runtime, each fetched when it is first needed.

import * as ort from "./vendor/ort.min.mjs";
import { Tokenizer } from "./tokenizer.js";

export class Model {
  // folder: the address of model.json and the parts. onProgress({loaded, total}) in bytes.
  static async load(folder, onProgress = () => {}) {
    const about = await (await fetch(new URL("model.json", folder))).json();
    const model = new Model(folder, about);
    const total = about.runtime + ["text_encoder", "unet", "decoder"].reduce(
      (sum, name) => sum + about.parts[name].bytes, 0,
    );
    let loaded = 0;
    model.onBytes = (bytes) => onProgress({ loaded: (loaded += bytes), total });
    // Without these headers a page may not share memory, and one thread does it all.
    ort.env.wasm.numThreads = self.crossOriginIsolated
      ? Math.min(4, navigator.hardwareConcurrency || 1)
      : 1;
    ort.env.wasm.wasmBinary = await model.#unpacked(new URL("../vendor/ort.wasm.bin", folder));
    for (const name of ["text_encoder", "unet", "decoder"]) await model.#session(name);
    model.onBytes = () => {};
    return model;
  }

  constructor(folder, about) {
    this.folder = folder;
    this.about = about;
    this.tokenizer = new Tokenizer(about);
    this.sessions = {};
    this.onBytes = () => {};
  }

  // What the text encoder says of two texts, (2, tokens, d): the negative prompt's first.
  async encodeText(negative, prompt) {
    const ids = [negative, prompt].flatMap((text) => this.tokenizer.ids(text));
    const [words] = await this.#run("text_encoder", {
      ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [2, ids.length / 2]),
    });
    return words;
  }

  // The U-Net's two answers for one xt: without the prompt and with it, and where it read.
  async predict(xt, t, words) {
    const both = new Float32Array(2 * xt.length);
    both.set(xt);
    both.set(xt, xt.length);
    const [, ...shape] = this.about.latent;
    const [answer, maps] = await this.#run("unet", {
      x: new ort.Tensor("float32", both, [2, ...shape]),
      t: new ort.Tensor("float32", Float32Array.of(t), [1]),
      words,
    });
    return {
      without: answer.data.slice(0, xt.length),
      given: answer.data.slice(xt.length),
      maps: maps.data.slice(),
    };
  }

  // Latents as a picture in about -1..1, one colour after another.
  async decode(z) {
    const input = new ort.Tensor("float32", Float32Array.from(z), this.about.latent);
    const [picture] = await this.#run("decoder", { z: input });
    return picture.data;
  }

  // The mean and the spread of a picture's latents.
  async encode(picture) {
    const [mean, spread] = await this.#run("encoder", { picture: this.#picture(picture) });
    return [mean.data, spread.data];
  }

  // The oracle's probabilities: {place: {beach: 0.98, ...}, ...}.
  async judge(picture) {
    const [shares] = await this.#run("oracle", { picture: this.#picture(picture) });
    let at = 0;
    return Object.fromEntries(
      Object.entries(this.about.factors).map(([factor, values]) => {
        return [factor, Object.fromEntries(values.map((value) => [value, shares.data[at++]]))];
      }),
    );
  }

  #picture(values) {
    const { size } = this.about;
    return new ort.Tensor("float32", Float32Array.from(values), [1, 3, size, size]);
  }

  async #run(name, inputs) {
    const session = await this.#session(name);
    const answers = await session.run(inputs);
    return this.about.parts[name].outputs.map((output) => answers[output]);
  }

  #session(name) {
    this.sessions[name] ??= this.#open(name).catch((error) => {
      delete this.sessions[name]; // a lost connection may come back
      throw error;
    });
    return this.sessions[name];
  }

  async #open(name) {
    const [graph, packed] = await Promise.all(
      ["graph", "bin"].map((kind) => this.#unpacked(new URL(`${name}.${kind}`, this.folder))),
    );
    const data = weights(packed, this.about.parts[name].planes);
    return ort.InferenceSession.create(new Uint8Array(graph), {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
      externalData: [{ path: `${name}.bin`, data: new Uint8Array(data.buffer) }],
    });
  }

  async #unpacked(address) {
    const response = await fetch(address);
    if (!response.ok) throw new Error(`${address.pathname} could not be loaded (${response.status}).`);
    const count = new TransformStream({
      transform: (chunk, out) => {
        this.onBytes(chunk.length);
        out.enqueue(chunk);
      },
    });
    const stream = response.body.pipeThrough(count).pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }
}

// Numbers from their bytes, of which all the high ones come first.
function weights(packed, planes) {
  const bytes = new Uint8Array(packed);
  const n = bytes.length / planes;
  if (planes === 2) {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = HALF[(bytes[i] << 8) | bytes[n + i]];
    return out;
  }
  const out = new Uint8Array(4 * n);
  for (let i = 0; i < n; i++) {
    for (let b = 0; b < 4; b++) out[4 * i + 3 - b] = bytes[b * n + i];
  }
  return new Float32Array(out.buffer);
}

// All 65536 numbers of half precision.
const HALF = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});
