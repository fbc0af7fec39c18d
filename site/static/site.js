// Questions that answer back, from quiz.json; what was chosen stays in this browser.

const base = new URL(".", import.meta.url);
const KEPT = "quiz";
const kept = () => JSON.parse(localStorage.getItem(KEPT) ?? "{}");

function keep(item, letter) {
  localStorage.setItem(KEPT, JSON.stringify({ ...kept(), [item]: letter }));
}

// One question as a group of radio buttons, each of which shows its reason.
function build(place, questions) {
  const item = place.dataset.item;
  const question = questions[item];
  if (!question) return;
  const field = document.createElement("fieldset");
  const legend = document.createElement("legend");
  if (place.dataset.stem === "yes") legend.innerHTML = question.stem;
  else {
    legend.textContent = "Choose one";
    legend.className = "unseen";
  }
  const reply = document.createElement("div");
  reply.className = "reply";
  reply.setAttribute("role", "status");
  field.append(legend);
  question.options.forEach((option, i) => {
    const letter = "ABCDEF"[i];
    const label = document.createElement("label");
    const button = document.createElement("input");
    button.type = "radio";
    button.name = item;
    button.value = letter;
    button.checked = kept()[item] === letter;
    button.onchange = () => {
      keep(item, letter);
      show(letter, option);
      scores(questions);
    };
    const text = document.createElement("span");
    text.innerHTML = `<b>${letter}</b> ${option.text}`;
    label.append(button, text);
    field.append(label);
  });
  field.append(reply);
  place.replaceChildren(field);

  function show(letter, option) {
    field.dataset.state = option.right ? "right" : "wrong";
    const verdict = option.right ? `${letter} is right.` : `${letter} is not right.`;
    reply.innerHTML = `<p><b>${verdict}</b></p>${option.why}`;
    if (option.belief) reply.innerHTML += `<p>A common belief behind it: ${option.belief}</p>`;
    if (option.try) {
      const code = document.createElement("pre");
      code.textContent = option.try;
      code.tabIndex = 0;
      const details = document.createElement("details");
      const summary = document.createElement("summary");
      summary.textContent = "See for yourself: a cell to run in the notebook";
      details.append(summary, code);
      reply.append(details);
    }
  }
  const chosen = "ABCDEF".indexOf(kept()[item] ?? "-");
  if (chosen >= 0 && question.options[chosen]) show("ABCDEF"[chosen], question.options[chosen]);
}

// How many questions of a chapter are right, where a page says so.
function scores(questions) {
  const chosen = kept();
  for (const place of document.querySelectorAll(".score")) {
    const mine = Object.entries(questions).filter(([, q]) => q.chapter === place.dataset.chapter);
    const answered = mine.filter(([item]) => chosen[item]);
    const right = answered.filter(([item, q]) => q.options["ABCDEF".indexOf(chosen[item])]?.right);
    place.textContent = answered.length
      ? `${right.length} of ${mine.length} right, ${answered.length} answered`
      : `${mine.length} questions`;
  }
}

const places = document.querySelectorAll(".quiz");
if (places.length || document.querySelector(".score")) {
  const questions = await (await fetch(new URL("quiz.json", base))).json();
  const all = () => {
    places.forEach((place) => build(place, questions));
    scores(questions);
  };
  for (const button of document.querySelectorAll(".quiz-reset")) {
    button.onclick = () => {
      localStorage.removeItem(KEPT);
      all();
    };
  }
  all();
}

// What the theme leaves without a name or a place, for readers who hear the page.
for (const code of document.querySelectorAll("div.highlight pre, .output pre")) code.tabIndex = 0;
for (const button of document.querySelectorAll(".search-button-field")) {
  button.removeAttribute("aria-label"); // its text is its name
}
for (const toggle of document.querySelectorAll("nav summary")) {
  toggle.setAttribute("aria-label", "Show or hide the pages below");
}
const sidebar = document.querySelector("#pst-primary-sidebar");
sidebar?.setAttribute("role", "complementary");
sidebar?.setAttribute("aria-label", "Course");

navigator.serviceWorker?.register(new URL("../sw.js", base));
