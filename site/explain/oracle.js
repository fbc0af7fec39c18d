// What the oracle reads in the picture, factor by factor, beside what the prompt names.

import { byId, element } from "./page.js";

export function showVerdict(session, tokenizer) {
  const { metrics } = session.about;
  const share = metrics?.oracle_accuracy_after_autoencoder?.all;
  if (share) {
    byId("ceiling").textContent =
      `On real drawings seen through the autoencoder it reads all six right in ${Math.round(100 * share)} %.`;
  }
  session.addEventListener("done", async () => {
    const { drawing } = session;
    const seen = await session.painter.judge(drawing.pixels);
    if (session.drawing !== drawing) return;
    const asked = tokenizer.read(drawing.recipe.prompt);
    byId("verdict").tBodies[0].replaceChildren(
      ...Object.entries(seen).map(([factor, shares]) => row(factor, asked[factor], shares)),
    );
    byId("verdict").hidden = false;
    const named = Object.keys(asked);
    const right = named.filter((factor) => best(seen[factor])[0] === asked[factor]);
    byId("verdict-sum").textContent = named.length
      ? `${right.length} of ${named.length} factors that the prompt names are right.`
      : "The prompt names nothing that the oracle can read.";
  });
}

function row(factor, asked, shares) {
  const [value, share] = best(shares);
  const kind = asked === undefined ? "" : asked === value ? "right" : "wrong";
  const mark = { right: "✓ ", wrong: "✗ ", "": "" }[kind];
  const out = element("tr");
  out.append(
    element("th", { scope: "row" }, factor),
    element("td", {}, asked ?? "–"),
    element("td", { className: kind }, mark + value),
    element("td", {}, `${Math.round(100 * share)} %`),
  );
  return out;
}

function best(shares) {
  return Object.entries(shares).reduce((a, b) => (b[1] > a[1] ? b : a));
}
