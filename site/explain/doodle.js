// A canvas to paint on, and the picture that image-to-image makes of it.

import { paint, preview } from "./canvas.js";
import { byId, element } from "./page.js";

const COLOURS = {
  night: "#1d2547", sky: "#8fc3e8", sunset: "#f09a6b", sun: "#ffe08a", snow: "#f4f5f7",
  sea: "#3c7fb1", sand: "#e4c58e", meadow: "#79a851", forest: "#2f5d3a", rock: "#777c86",
  brick: "#b5443c", wood: "#6b4a34",
};

export function showDoodle(session, load) {
  const { about, painter } = session;
  const canvas = byId("doodle");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const side = (canvas.width = canvas.height = about.size);
  let colour = "sea";
  let place = [side / 2, side / 2];
  let before = null;

  byId("colours").replaceChildren(
    ...Object.entries(COLOURS).map(([name, value]) => {
      const button = element("button", { type: "button", role: "radio", "aria-label": name, title: name });
      button.style.background = value;
      button.onclick = () => choose(name);
      return button;
    }),
  );
  byId("colours").onkeydown = (event) => {
    const names = Object.keys(COLOURS);
    const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    choose(names[(names.indexOf(colour) + way + names.length) % names.length]);
    byId("colours").querySelector("[aria-checked=true]").focus();
  };

  function choose(name) {
    colour = name;
    [...byId("colours").children].forEach((button, i) => {
      const mine = Object.keys(COLOURS)[i] === name;
      button.setAttribute("aria-checked", String(mine));
      button.tabIndex = mine ? 0 : -1;
    });
  }

  function stroke(to, from = to) {
    pen.strokeStyle = COLOURS[colour];
    pen.lineWidth = Number(byId("brush").value);
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(to[0] + 0.01, to[1]);
    pen.stroke();
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top].map((v) => (v / box.width) * side);
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    before = at(event);
    stroke(before);
  };
  canvas.onpointermove = (event) => {
    if (!before) return;
    const now = at(event);
    stroke(now, before);
    before = now;
  };
  canvas.onpointerup = canvas.onpointercancel = () => (before = null);
  canvas.onkeydown = (event) => {
    const ways = { ArrowLeft: [-4, 0], ArrowRight: [4, 0], ArrowUp: [0, -4], ArrowDown: [0, 4] };
    if (event.key === " ") stroke(place);
    else if (ways[event.key]) {
      const moved = place.map((v, i) => Math.max(0, Math.min(side, v + ways[event.key][i])));
      if (event.shiftKey) stroke(moved, place);
      place = moved;
    } else return;
    event.preventDefault();
    byId("doodle-news").textContent = `The brush is at ${place.join(", ")} of ${side}; space paints, shift paints on the way.`;
  };

  function blank() {
    const land = [["sky", 0, 0.55], ["sea", 0.55, 0.72], ["sand", 0.72, 1]];
    for (const [name, from, to] of land) {
      pen.fillStyle = COLOURS[name];
      pen.fillRect(0, from * side, side, (to - from) * side);
    }
    pen.fillStyle = COLOURS.sun;
    pen.beginPath();
    pen.arc(0.72 * side, 0.25 * side, 0.1 * side, 0, 7);
    pen.fill();
    pen.fillStyle = COLOURS.brick;
    pen.fillRect(0.24 * side, 0.42 * side, 0.16 * side, 0.42 * side);
  }

  const say = (name) => (byId(`${name}-value`).textContent = byId(name).value);
  for (const name of ["brush", "strength"]) {
    byId(name).oninput = () => say(name);
    say(name);
  }
  byId("doodle-clear").onclick = blank;
  byId("doodle-take").onclick = () => paint(canvas, session.drawing.pixels);
  session.addEventListener("done", () => (byId("doodle-take").disabled = false));

  byId("doodle-draw").onclick = async () => {
    const button = byId("doodle-draw");
    button.disabled = true;
    try {
      await load();
      session.stop();
      const strength = Number(byId("strength").value);
      const pixels = pen.getImageData(0, 0, side, side).data;
      const { seconds, pixels: drawn } = await painter.draw({ ...session.recipe }, {
        start: { pixels, strength },
        onStep: (step) => {
          paint(byId("redrawn"), preview(about.preview, step.x0));
          byId("doodle-news").textContent = `step ${step.i + 1} of ${step.of}`;
        },
      });
      paint(byId("redrawn"), drawn);
      byId("redrawn").setAttribute("aria-label", `Drawn from the doodle: ${session.recipe.prompt}`);
      byId("redrawn-caption").textContent = session.recipe.prompt;
      byId("doodle-news").textContent = `Drawn in ${seconds.toFixed(1)} s. A lower strength stays closer to the doodle.`;
    } catch (error) {
      byId("doodle-news").textContent = error.message;
    }
    button.disabled = false;
  };

  choose(colour);
  blank();
}
