// A canvas over a picture: painting with the mouse, a pen or a finger makes a mask.
function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "studio-brush";
  const picture = document.createElement("img");
  picture.alt = "The picture to begin with";
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", model.get("description"));
  const pen = canvas.getContext("2d");
  const clear = document.createElement("button");
  clear.type = "button";
  clear.className = "jupyter-button";
  clear.textContent = "Clear the mask";
  frame.append(picture, canvas);
  el.append(frame, clear);

  let last = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale, scale];
  };
  const stroke = (event) => {
    const [x, y, scale] = place(event);
    pen.strokeStyle = pen.fillStyle = "white";
    pen.lineWidth = model.get("size") * scale;
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(...(last ?? [x, y]));
    pen.lineTo(x + 0.01, y);
    pen.stroke();
    last = [x, y];
  };
  const send = () => {
    model.set("mask", canvas.toDataURL("image/png"));
    model.save_changes();
  };
  const wipe = () => pen.clearRect(0, 0, canvas.width, canvas.height);

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => last && stroke(event));
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (!last) return;
      last = null;
      send();
    });
  }
  clear.addEventListener("click", () => {
    wipe();
    model.set("mask", "");
    model.save_changes();
  });

  const show = () => {
    picture.src = model.get("picture");
  };
  picture.addEventListener("load", () => {
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    wipe();
  });
  model.on("change:picture", show);
  if (model.get("picture")) show();
}

export default { render };
