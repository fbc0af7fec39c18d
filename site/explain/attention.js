// Cross-attention: the places of the picture that look at a word.

import { heat, paint } from "./canvas.js";
import { byId, element } from "./page.js";

export function showAttention(session, tokenizer) {
  let chosen = 0;
  let words = [];

  const begin = () => {
    words = group(tokenizer, session.drawing.recipe.prompt);
    chosen = Math.max(0, words.findIndex(({ word }) => Object.hasOwn(tokenizer.names, word)));
    byId("attention-words").replaceChildren(
      ...words.map(({ word }, i) => {
        const button = element("button", { type: "button" }, word);
        button.onclick = () => {
          chosen = i;
          show();
        };
        return button;
      }),
    );
  };

  const show = () => {
    const { drawing, step } = session;
    if (!step || !words.length) return;
    [...byId("attention-words").children].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === chosen));
    });
    const { word, places } = words[chosen];
    const all = byId("all-steps").checked;
    const maps = mean((all ? drawing.steps : [step]).map((s) => s.maps), places, tokenizer.length);
    const pixels = session.darkroom.ready(drawing.steps.at(-1).x0);
    overlay(byId("attention"), maps, pixels);
    const when = all ? "mean of all steps" : `step ${step.i + 1}`;
    byId("attention-caption").textContent = `where “${word}” is read, ${when}`;
    byId("attention").setAttribute("aria-label", `Where the word ${word} is read, ${when}`);
  };

  byId("all-steps").onchange = show;
  session.addEventListener("begin", begin);
  session.addEventListener("shown", show);
  session.addEventListener("done", show);
}

// The words of a prompt and the places of their tokens, start token at 0, as far as they are read.
function group(tokenizer, prompt) {
  const words = [];
  let open = false;
  tokenizer.piecesOf(prompt).slice(0, tokenizer.length - 2).forEach(({ piece, word }, i) => {
    if (!open) words.push({ word, places: [] });
    words.at(-1).places.push(i + 1);
    open = !piece.endsWith(tokenizer.end_of_word);
  });
  return words.filter(({ word }) => /[\p{L}\p{N}]/u.test(word));
}

// The mean over steps of the sum over places.
function mean(steps, places, tokens) {
  const n = steps[0].length / tokens;
  const out = new Float32Array(n);
  for (const maps of steps) {
    for (const place of places) {
      for (let i = 0; i < n; i++) out[i] += maps[place * n + i] / steps.length;
    }
  }
  return out;
}

// The picture, bright where the map is high.
function overlay(canvas, map, pixels) {
  const low = Math.min(...map);
  const high = Math.max(...map);
  const shares = map.map((value) => (value - low) / (high - low || 1));
  const side = Math.sqrt(map.length);
  const small = document.createElement("canvas");
  const colours = new Uint8ClampedArray(4 * map.length);
  shares.forEach((share, i) => colours.set([...heat(share), pixels ? 205 - 150 * share : 255], 4 * i));
  small.width = small.height = side;
  small.getContext("2d").putImageData(new ImageData(colours, side), 0, 0);
  if (pixels) paint(canvas, pixels);
  else canvas.width = canvas.height = 8 * side;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
}
