// A recipe is everything a picture depends on. It travels in a link, and inside a PNG in the two
// forms that imagegen reads: the `parameters` text of AUTOMATIC1111, and JSON.

export const SETTINGS = [
  "prompt", "negative_prompt", "seed", "steps", "guidance", "width", "height", "scheduler", "model",
];
const NUMBERS = { seed: [0, 2 ** 32 - 1, 1], steps: [1, 100, 1], guidance: [0, 30, 0] };
const IN_TEXT = {
  steps: "Steps", seed: "Seed", guidance: "CFG scale", scheduler: "Sampler", model: "Model",
  strength: "Denoising strength",
};
const FLOATS = ["guidance", "strength"];

// The recipe that a model was made for.
export function usual(about) {
  return {
    prompt: about.prompts[0],
    negative_prompt: "",
    seed: 0,
    steps: about.steps,
    guidance: about.guidance,
    width: about.size,
    height: about.size,
    scheduler: about.scheduler,
    model: about.model,
  };
}

// "#prompt=...&seed=..." with the settings that are not the usual ones, and the prompt.
export function toLink(recipe, about) {
  const standard = usual(about);
  const told = SETTINGS.filter((s) => s === "prompt" || recipe[s] !== standard[s]);
  return "#" + new URLSearchParams(told.map((s) => [s, recipe[s]]));
}

// The recipe of a link's "#...", and sentences on what in it this page cannot draw.
export function fromLink(hash, about) {
  const recipe = usual(about);
  const complaints = [];
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (Object.hasOwn(NUMBERS, name)) {
      const [least, most, whole] = NUMBERS[name];
      const value = Number(text);
      if (text.trim() && value >= least && value <= most && (!whole || Number.isInteger(value))) {
        recipe[name] = value;
      } else {
        complaints.push(`The link's ${name} must be from ${least} to ${most}, not ${text}.`);
      }
    } else if (name === "prompt" || name === "negative_prompt") {
      recipe[name] = text;
    } else if (name === "scheduler") {
      if (Object.hasOwn(about.schedulers, text)) recipe[name] = text;
      else complaints.push(`This page has no scheduler ${text}, so ${recipe.scheduler} draws.`);
    } else if (SETTINGS.includes(name) && text !== String(recipe[name])) {
      complaints.push(`This page draws with ${name} ${recipe[name]} only, not ${text}.`);
    }
  }
  return { recipe, complaints };
}

// The text that AUTOMATIC1111 and its descendants read.
export function infotext(recipe, version) {
  const pairs = Object.entries(IN_TEXT)
    .filter(([setting]) => recipe[setting] !== undefined)
    .map(([setting, name]) => `${name}: ${quoted(inText(setting, recipe[setting]))}`);
  pairs.push(`Size: ${recipe.width}x${recipe.height}`, `Version: ${quoted(`imagegen ${version}`)}`);
  const negative = recipe.negative_prompt ? [`Negative prompt: ${recipe.negative_prompt}`] : [];
  return [recipe.prompt, ...negative, pairs.join(", ")].join("\n");
}

function inText(setting, value) {
  return FLOATS.includes(setting) && Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function quoted(text) {
  return /[,:"\n\r]/.test(text) ? JSON.stringify(text) : text;
}

// The PNG of pixels (RGBA) that carries its recipe; a Blob.
export async function toPng(pixels, size, recipe, version) {
  const [width, height] = size;
  const rows = new Uint8Array(height * (1 + 3 * width)); // each row begins with 0: no filter
  for (let y = 0, at = 0; y < height; y++) {
    at++;
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) rows[at++] = pixels[4 * (y * width + x) + c];
    }
  }
  const deflated = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, 8); // bits a colour
  head.setUint8(9, 2); // red, green, blue
  const note = { recipe, saved: new Date().toISOString(), imagegen: version };
  return new Blob(
    [
      new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
      chunk("IHDR", new Uint8Array(head.buffer)),
      textChunk("parameters", infotext(recipe, version)),
      textChunk("imagegen", ascii(JSON.stringify(note))),
      chunk("IDAT", new Uint8Array(await new Response(deflated).arrayBuffer())),
      chunk("IEND", new Uint8Array()),
    ],
    { type: "image/png" },
  );
}

// Latin-1 goes into tEXt, everything else into iTXt, as Pillow does it.
function textChunk(key, text) {
  const latin = [...text].every((c) => c.codePointAt(0) < 256);
  if (latin) return chunk("tEXt", Uint8Array.from(`${key}\0${text}`, (c) => c.charCodeAt(0)));
  const utf8 = new TextEncoder().encode(text);
  return chunk("iTXt", join(new TextEncoder().encode(`${key}\0\0\0\0\0`), utf8));
}

function ascii(json) {
  return json.replace(/[\u0080-\uffff]/g, (c) => {
    return "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0");
  });
}

function chunk(kind, data) {
  const body = join(new TextEncoder().encode(kind), data);
  const out = new DataView(new ArrayBuffer(body.length + 8));
  out.setUint32(0, data.length);
  new Uint8Array(out.buffer).set(body, 4);
  out.setUint32(body.length + 4, crc(body));
  return new Uint8Array(out.buffer);
}

function join(a, b) {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) c = TABLE[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}
