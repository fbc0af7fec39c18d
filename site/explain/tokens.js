// The tokens of the prompt, and the words that the model never learned.

import { byId, element } from "./page.js";

export function showTokens(session, tokenizer) {
  const show = () => {
    const { prompt } = session.recipe;
    const pieces = tokenizer.piecesOf(prompt);
    const unknown = new Set(tokenizer.unknownWords(prompt));
    const most = tokenizer.length - 2;
    const chips = pieces.map(({ id, piece, word }, i) => {
      const ends = piece.endsWith(tokenizer.end_of_word);
      const text = ends ? piece.slice(0, -tokenizer.end_of_word.length) : piece;
      const kinds = [];
      if (unknown.has(word)) kinds.push("unknown");
      if (!ends) kinds.push("inside");
      if (i >= most) kinds.push("cut");
      return chip(text, id, kinds.join(" "));
    });
    const pads = tokenizer.length - 2 - Math.min(pieces.length, most);
    byId("tokens").replaceChildren(
      chip("start", tokenizer.start, "special"),
      ...chips,
      chip("end", tokenizer.end, "special"),
      ...(pads ? [chip(`${pads} × padding`, tokenizer.pad, "special")] : []),
    );
    const used = Math.min(pieces.length, most) + 2;
    byId("tokens-count").textContent =
      `Here ${used} of ${tokenizer.length} places are used` +
      (pieces.length > most ? "; the rest of the sentence is cut off." : ".");
    byId("unknown").textContent = complaint([...unknown], session.about.model);
  };
  session.addEventListener("recipe", show);
  show();
}

function chip(text, id, kind) {
  const out = element("span", { role: "listitem", className: kind }, text);
  out.append(element("small", {}, String(id)));
  return out;
}

function complaint(words, model) {
  if (!words.length) return "";
  const [noun, pronoun] = words.length === 1 ? ["word", "it"] : ["words", "they"];
  return `${model} never learned the ${noun} ${words.join(", ")}, so ${pronoun} will not be in the picture.`;
}
