// The same recipe, drawn several times with one setting changed.

import { paint, preview } from "./canvas.js";
import { byId, element } from "./page.js";

export function showCompare(session, load) {
  const { about, painter } = session;
  let stopper = null;
  const values = {
    seed: ({ seed }) => [0, 1, 2, 3].map((more) => seed + more),
    guidance: () => [...new Set([1, about.guidance / 2, about.guidance, 2 * about.guidance])],
    scheduler: () => Object.keys(about.schedulers),
    steps: ({ steps }) => [...new Set([2, 5, 10, Math.max(steps, 20)])],
  };

  async function compare(setting) {
    stopper?.abort();
    const mine = (stopper = new AbortController());
    const base = { ...session.recipe };
    const tiles = values[setting](base).map((value) => {
      const recipe = { ...base, [setting]: value };
      const name = setting === "scheduler" ? value : `${setting} ${value}`;
      const canvas = element("canvas", { role: "img", "aria-label": `${base.prompt}, ${name}` });
      const caption = element("figcaption", {}, name);
      const figure = element("figure");
      figure.append(canvas, caption);
      return { recipe, name, canvas, caption, figure };
    });
    byId("compared").replaceChildren(...tiles.map(({ figure }) => figure));
    await load();
    for (const [i, { recipe, name, canvas, caption }] of tiles.entries()) {
      if (mine.signal.aborted) return;
      byId("compare-news").textContent = `Drawing ${i + 1} of ${tiles.length}: ${name}`;
      const answer = await painter.draw(recipe, {
        signal: mine.signal,
        onStep: (step) => paint(canvas, preview(about.preview, step.x0)),
      });
      if (!answer) return;
      paint(canvas, answer.pixels);
      caption.textContent = `${name}, ${answer.seconds.toFixed(1)} s`;
    }
    byId("compare-news").textContent = "Only that one setting differs.";
  }

  for (const button of document.querySelectorAll("[data-compare]")) {
    button.onclick = () => {
      compare(button.dataset.compare).catch((error) => {
        byId("compare-news").textContent = error.message;
      });
    };
  }
  session.addEventListener("begin", () => stopper?.abort());
}
