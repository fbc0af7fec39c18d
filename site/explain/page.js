// Short names for what every view does with the page.

export const byId = (id) => document.getElementById(id);

// An element with properties (or attributes, where there is no such property) and text.
export function element(name, properties = {}, text = "") {
  const out = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in out) out[key] = value;
    else out.setAttribute(key, value);
  }
  if (text) out.textContent = text;
  return out;
}

// Whether an element is on the screen, or nearly.
export function nearby(target) {
  const box = target.getBoundingClientRect();
  return box.bottom > -200 && box.top < innerHeight + 200;
}
