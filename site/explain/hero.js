// The first page's small form of the explainer: a prompt, a picture.

import { paint, preview } from "./canvas.js";
import { byId } from "./page.js";
import { Painter } from "./painter.js";
import { toLink, usual } from "./recipe.js";
import { Tokenizer } from "./tokenizer.js";

const folder = new URL("model/", import.meta.url);
const about = await (await fetch(new URL("model.json", folder))).json();
const tokenizer = new Tokenizer(about);
const painter = new Painter();
const recipe = usual(about);
const prompt = byId("hero-prompt");
const news = (text) => (byId("hero-news").textContent = text);
const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
const bytes = about.runtime + ["text_encoder", "unet", "decoder"].reduce(
  (sum, name) => sum + about.parts[name].bytes, 0,
);
let drawing = null;
let film = null;

// Until the reader draws: the steps of a drawing that was made when the site was built.
async function playFilm() {
  const strip = new Image();
  strip.src = new URL("film.jpg", folder);
  await strip.decode();
  const side = strip.height;
  const frames = strip.width / side;
  const canvas = byId("hero-picture");
  const show = (i) => {
    canvas.width = canvas.height = side;
    canvas.getContext("2d").drawImage(strip, -i * side, 0);
  };
  byId("hero-caption").textContent = recipe.prompt;
  show(frames - 1);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  let i = 0;
  film = setInterval(() => {
    i = (i + 1) % (frames + 14); // the last frame stays for a while
    show(Math.min(i, frames - 1));
  }, 190);
}

async function draw() {
  drawing?.abort();
  const mine = (drawing = new AbortController());
  recipe.prompt = prompt.value;
  try {
    byId("hero-loading").hidden = false;
    await painter.load(({ loaded, total }) => {
      byId("hero-loading").value = loaded / total;
      news(`Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB, once`);
    });
    byId("hero-loading").hidden = true;
    clearInterval(film);
    const answer = await painter.draw({ ...recipe }, {
      signal: mine.signal,
      onStep: (step) => {
        paint(byId("hero-picture"), preview(about.preview, step.x0));
        news(`Drawing: step ${step.i + 1} of ${step.of}`);
      },
    });
    if (!answer) return;
    paint(byId("hero-picture"), answer.pixels);
    byId("hero-picture").setAttribute("aria-label", `Picture drawn from: ${recipe.prompt}`);
    byId("hero-caption").textContent = recipe.prompt;
    news(`Drawn in ${answer.seconds.toFixed(1)} s, on this machine.`);
  } catch (error) {
    byId("hero-loading").hidden = true;
    news(error.message);
  }
}

function said() {
  const words = tokenizer.unknownWords(prompt.value);
  byId("hero-unknown").textContent = words.length
    ? `The model never learned ${words.join(", ")}, so that will not be in the picture.`
    : "";
  byId("hero-explain").href =
    new URL("index.html", import.meta.url).href + toLink({ ...recipe, prompt: prompt.value }, about);
}

prompt.value = recipe.prompt;
prompt.oninput = said;
prompt.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey) return;
  event.preventDefault();
  draw();
};
byId("hero").onsubmit = (event) => {
  event.preventDefault();
  draw();
};
byId("hero-another").onclick = () => {
  const next = (about.prompts.indexOf(prompt.value) + 1) % about.prompts.length;
  prompt.value = about.prompts[next];
  said();
};
news(`The first drawing fetches the model: ${megabytes(bytes)} MB, once.`);
said();
playFilm();
