// The page: its form, and the views that show what a drawing is made of.

import { showAttention } from "./attention.js";
import { showCompare } from "./compare.js";
import { showDoodle } from "./doodle.js";
import { showGuidance } from "./guidance.js";
import { showVerdict } from "./oracle.js";
import { byId, element } from "./page.js";
import { Painter } from "./painter.js";
import { fromLink, toLink, toPng } from "./recipe.js";
import { Session } from "./session.js";
import { showSteps } from "./steps.js";
import { Tokenizer } from "./tokenizer.js";
import { showTokens } from "./tokens.js";

navigator.serviceWorker?.register("../sw.js");
const about = await (await fetch("model/model.json")).json();
const { recipe, complaints } = fromLink(location.hash, about);
const session = new Session(about, new Painter(), recipe);
const tokenizer = new Tokenizer(about);
const news = (text) => (byId("news").textContent = text);
const bytes = about.runtime + ["text_encoder", "unet", "decoder"].reduce(
  (sum, name) => sum + about.parts[name].bytes, 0,
);

// Fetch the model, once, with a bar that says how much of it is here.
let loaded = false;
async function load() {
  if (loaded) return;
  byId("loading").hidden = false;
  const answer = await session.painter.load(({ loaded: now, total }) => {
    byId("loading").value = now / total;
    news(`Loading the model: ${(now / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB, once`);
  }).finally(() => (byId("loading").hidden = true));
  loaded = true;
  byId("machine").textContent = `It draws with ${answer.threads === 1 ? "one thread" : `${answer.threads} threads`}.`;
}

async function draw() {
  try {
    byId("stop").hidden = false;
    await load();
    news("Drawing");
    await session.draw();
  } catch (error) {
    byId("stop").hidden = true;
    news(error.message);
  }
}

// The form and the recipe say the same.
function fill() {
  for (const setting of ["prompt", "seed", "guidance", "steps", "scheduler"]) {
    byId(setting).value = session.recipe[setting];
  }
  byId("negative").value = session.recipe.negative_prompt;
  said();
}
function said() {
  byId("guidance-value").textContent = session.recipe.guidance;
  byId("steps-value").textContent = session.recipe.steps;
}
const inputs = {
  prompt: String, negative: String, scheduler: String, guidance: Number, steps: Number,
  seed: (text) => Math.max(0, Math.floor(Number(text) || 0)),
};
for (const [id, read] of Object.entries(inputs)) {
  byId(id).addEventListener("input", () => {
    session.ask({ [id === "negative" ? "negative_prompt" : id]: read(byId(id).value) });
    said();
  });
}

byId("scheduler").replaceChildren(
  ...Object.keys(about.schedulers).map((name) => element("option", {}, name)),
);
byId("examples").replaceChildren(
  ...about.prompts.slice(0, 5).map((prompt) => {
    const button = element("button", { type: "button" }, prompt);
    button.onclick = () => {
      session.ask({ prompt });
      fill();
      draw();
    };
    return button;
  }),
);
byId("dice").onclick = () => {
  session.ask({ seed: Math.floor(Math.random() * 10000) });
  fill();
};
byId("recipe").onsubmit = (event) => {
  event.preventDefault();
  draw();
};
byId("prompt").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    draw();
  }
};
byId("stop").onclick = () => {
  session.stop();
  byId("stop").hidden = true;
  news("Stopped.");
};
session.addEventListener("begin", () => {
  byId("save").disabled = true;
  history.replaceState(null, "", toLink(session.recipe, about));
  // On a narrow screen the picture lies below the form.
  const box = byId("picture").getBoundingClientRect();
  if (box.top > innerHeight / 2) byId("picture").scrollIntoView({ block: "center" });
});
session.addEventListener("shown", () => {
  if (!session.drawing.pixels) news(`Drawing: step ${session.step.i + 1} of ${session.step.of}`);
});
session.addEventListener("done", () => {
  byId("stop").hidden = true;
  byId("save").disabled = false;
  news(`Drawn in ${session.drawing.seconds.toFixed(1)} s, on this machine.`);
});

byId("save").onclick = async () => {
  const { pixels, recipe } = session.drawing;
  const png = await toPng(pixels, [recipe.width, recipe.height], recipe, about.version);
  const words = recipe.prompt.toLowerCase().match(/[a-z0-9]+/g)?.slice(0, 6).join("-");
  const link = element("a", {
    href: URL.createObjectURL(png),
    download: `seed${recipe.seed}-${(words ?? "picture").slice(0, 40)}.png`,
  });
  link.click();
  news("Saved. The file carries its recipe: imagegen, and this link, draw it again.");
};
byId("share").onclick = async () => {
  const address = new URL(toLink(session.recipe, about), location.href).href;
  history.replaceState(null, "", address);
  try {
    await navigator.clipboard.writeText(address);
    news("The link is on the clipboard. It carries the whole recipe.");
  } catch {
    news("The address of this page now carries the whole recipe: copy it.");
  }
};
addEventListener("hashchange", () => {
  if (!location.hash.includes("=")) return; // a place on this page
  const asked = fromLink(location.hash, about);
  session.ask(asked.recipe);
  fill();
  news(asked.complaints.join(" "));
});

byId("theme").onclick = () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("mode", root.dataset.theme);
  localStorage.setItem("theme", root.dataset.theme);
};
const tabs = [byId("tab-short"), byId("tab-deep")];
for (const tab of tabs) {
  tab.onclick = () => {
    for (const other of tabs) {
      const mine = other === tab;
      other.setAttribute("aria-selected", String(mine));
      other.tabIndex = mine ? 0 : -1;
      byId(other.getAttribute("aria-controls")).hidden = !mine;
    }
  };
  tab.onkeydown = (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const next = tabs[1 - tabs.indexOf(tab)];
    next.click();
    next.focus();
  };
}
byId("predicts").textContent = {
  v_prediction: "The U-Net predicts v = √ᾱ ε − √(1 − ᾱ) x₀, from which the clean picture follows: x̂₀ = √ᾱ xₜ − √(1 − ᾱ) v.",
  epsilon: "The U-Net predicts the noise ε, from which the clean picture follows: x̂₀ = (xₜ − √(1 − ᾱ) ε) / √ᾱ.",
  sample: "The U-Net predicts the clean picture x̂₀ itself.",
}[about.schedulers[about.scheduler].prediction_type];

fill();
showTokens(session, tokenizer);
showSteps(session);
showGuidance(session);
showAttention(session, tokenizer);
showVerdict(session, tokenizer);
showCompare(session, load);
showDoodle(session, load);
news(complaints.join(" ") || `The first drawing fetches the model: ${(bytes / 1e6).toFixed(0)} MB, once.`);
document.documentElement.dataset.ready = "yes";
