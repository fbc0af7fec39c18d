// Pixels on canvases. Pixels are RGBA, one byte each, of a square.

// Show pixels on a canvas; its size becomes theirs.
export function paint(canvas, pixels) {
  const side = Math.sqrt(pixels.length / 4);
  canvas.width = canvas.height = side;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels), side), 0, 0);
}

// Latents as the colours that are most like their picture: matrix is model.json's preview.
export function preview(matrix, z) {
  const channels = matrix[0].length - 1;
  const n = z.length / channels;
  const pixels = new Uint8ClampedArray(4 * n);
  for (let i = 0; i < n; i++) {
    for (let colour = 0; colour < 3; colour++) {
      let value = matrix[colour][channels];
      for (let c = 0; c < channels; c++) value += matrix[colour][c] * z[c * n + i];
      pixels[4 * i + colour] = (value / 2 + 0.5) * 255;
    }
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

// One channel of latents in grey: black is -range, white is range.
export function grey(values, range = 3) {
  const pixels = new Uint8ClampedArray(4 * values.length).fill(255);
  values.forEach((value, i) => {
    pixels.fill((value / range / 2 + 0.5) * 255, 4 * i, 4 * i + 3);
  });
  return pixels;
}

// How far two pictures are apart, from dark to bright, against the largest difference.
export function difference(a, b) {
  const n = a.length / 4;
  const apart = Float32Array.from({ length: n }, (_, i) => {
    return [0, 1, 2].reduce((sum, c) => sum + Math.abs(a[4 * i + c] - b[4 * i + c]), 0);
  });
  const most = apart.reduce((x, y) => Math.max(x, y), 1);
  const pixels = new Uint8ClampedArray(4 * n);
  apart.forEach((value, i) => pixels.set([...heat(value / most), 255], 4 * i));
  return pixels;
}

// A colour for a share of 0..1: night, ember, light.
export function heat(share) {
  const stops = [[18, 22, 40], [120, 40, 90], [235, 120, 60], [255, 240, 190]];
  const at = Math.min(share, 0.999) * (stops.length - 1);
  const low = Math.floor(at);
  return stops[low].map((value, c) => value + (at - low) * (stops[low + 1][c] - value));
}
