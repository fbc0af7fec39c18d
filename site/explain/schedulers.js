// The schedulers of diffusers that the page draws with: the same times, the same arithmetic.
//
//     const scheduler = makeScheduler(numbers, name, steps);
//     let xt = eps.map((e) => e * scheduler.first);
//     for (let i = 0; i < scheduler.times.length; i++) {
//       const answer = unet(scheduler.input(xt, i), scheduler.times[i]);
//       const x0 = scheduler.clean(answer, xt, i);
//       xt = scheduler.step(x0, xt, i);
//     }
//
// numbers: an entry of model.json's schedulers, which diffusers itself worked out.
// DDIM: Song et al. 2021, formula 12. DPM-Solver++ (2M): Lu et al. 2022, algorithm 2.
// Euler: Karras et al. 2022, algorithm 1 without its corrections.

export function makeScheduler(numbers, name, steps) {
  const Kind = { DDIM: Ddim, "DPM-Solver++": DpmSolver, Euler }[name];
  if (!Kind) throw new Error(`There is no scheduler ${name}.`);
  return new Kind(numbers, steps);
}

class Ddim {
  constructor(numbers, steps) {
    this.first = 1;
    this.type = numbers.prediction_type;
    this.times = times(numbers, steps, 0).map(roundHalfEven);
    const apart = Math.floor(numbers.num_train_timesteps / steps);
    const barAt = (t) => (t >= 0 ? numbers.alpha_bar[t] : numbers.final_alpha_bar);
    this.bars = this.times.map((t) => [barAt(t), barAt(t - apart)]);
  }

  input(xt) {
    return xt;
  }

  clean(answer, xt, i) {
    const [bar] = this.bars[i];
    return toClean(this.type, answer, xt, Math.sqrt(bar), Math.sqrt(1 - bar));
  }

  step(x0, xt, i) {
    const [bar, next] = this.bars[i];
    const [a, s] = [Math.sqrt(bar), Math.sqrt(1 - bar)];
    const [an, sn] = [Math.sqrt(next), Math.sqrt(1 - next)];
    // eps_hat is what must be in xt beside x0_hat.
    return mix(x0, an - (sn * a) / s, xt, sn / s);
  }

  addNoise(x0, eps, i) {
    const [bar] = this.bars[i];
    return mix(x0, Math.sqrt(bar), eps, Math.sqrt(1 - bar));
  }
}

class DpmSolver {
  constructor(numbers, steps) {
    this.first = 1;
    this.type = numbers.prediction_type;
    this.times = times(numbers, steps, 1).map(roundHalfEven);
    this.sigmas = sigmas(numbers, this.times);
  }

  input(xt) {
    return xt;
  }

  clean(answer, xt, i) {
    return toClean(this.type, answer, xt, ...split(this.sigmas[i]));
  }

  step(x0, xt, i) {
    const [, s] = split(this.sigmas[i]);
    const [an, sn] = split(this.sigmas[i + 1]);
    const h = this.#lambda(i + 1) - this.#lambda(i);
    const c = -an * Math.expm1(-h);
    const last = i === this.times.length - 1;
    let guess = x0;
    if (this.before && !last) {
      const k = h / (this.#lambda(i) - this.#lambda(i - 1)) / 2;
      guess = mix(x0, 1 + k, this.before, -k);
    }
    this.before = x0;
    return mix(xt, sn / s, guess, c);
  }

  addNoise(x0, eps, i) {
    const [a, s] = split(this.sigmas[i]);
    return mix(x0, a, eps, s);
  }

  // The logarithm of picture over noise; infinite at the end, where sigma is 0.
  #lambda(i) {
    return -Math.log(this.sigmas[i]);
  }
}

class Euler {
  constructor(numbers, steps) {
    this.type = numbers.prediction_type;
    this.times = times(numbers, steps, 0);
    this.sigmas = sigmas(numbers, this.times);
    const largest = Math.max(...this.sigmas);
    this.first = numbers.timestep_spacing === "leading" ? Math.hypot(largest, 1) : largest;
  }

  input(xt, i) {
    const scale = Math.hypot(this.sigmas[i], 1);
    return xt.map((x) => x / scale);
  }

  clean(answer, xt, i) {
    const sigma = this.sigmas[i];
    if (this.type === "epsilon") return mix(xt, 1, answer, -sigma);
    return toClean(this.type, answer, this.input(xt, i), ...split(sigma));
  }

  step(x0, xt, i) {
    const ratio = this.sigmas[i + 1] / this.sigmas[i];
    return mix(xt, ratio, x0, 1 - ratio);
  }

  addNoise(x0, eps, i) {
    return mix(x0, 1, eps, this.sigmas[i]);
  }
}

// x0_hat from the U-Net's answer, where xt = a x0 + s eps.
function toClean(type, answer, xt, a, s) {
  if (type === "v_prediction") return mix(xt, a, answer, -s);
  if (type === "epsilon") return mix(xt, 1 / a, answer, -s / a);
  if (type === "sample") return answer;
  throw new Error(`The model predicts ${type}, which this page cannot read.`);
}

// The steps of training at which the U-Net is asked, from noise to picture.
// extra: DPM-Solver++ divides the whole way into one step more where it has both ends.
function times(numbers, steps, extra) {
  const total = numbers.num_train_timesteps;
  const ratio = Math.floor(total / (steps + extra));
  switch (numbers.timestep_spacing) {
    case "trailing": {
      const step = total / steps;
      const count = Math.ceil(total / step);
      return Array.from({ length: count }, (_, i) => roundHalfEven(total - i * step) - 1);
    }
    case "leading":
      return Array.from({ length: steps }, (_, i) => {
        return (steps - 1 + extra - i) * ratio + numbers.steps_offset;
      });
    case "linspace": {
      const step = (total - 1) / (steps - 1 + extra || 1);
      return Array.from({ length: steps }, (_, i) => {
        const t = (steps - 1 + extra - i) * step;
        return extra ? roundHalfEven(t) : t;
      });
    }
    default:
      throw new Error(`There is no timestep_spacing ${numbers.timestep_spacing}.`);
  }
}

// Noise over picture at each of the times, and 0 at the end.
function sigmas(numbers, times) {
  const at = (t) => Math.sqrt((1 - numbers.alpha_bar[t]) / numbers.alpha_bar[t]);
  return [
    ...times.map((t) => {
      const low = Math.floor(t);
      return low === t ? at(t) : at(low) + (t - low) * (at(low + 1) - at(low));
    }),
    0,
  ].map(Math.fround);
}

// The shares of picture and noise at a sigma, as xt = a x0 + s eps.
function split(sigma) {
  const a = 1 / Math.hypot(sigma, 1);
  return [a, sigma * a];
}

function mix(x, a, y, b) {
  return x.map((value, i) => a * value + b * y[i]);
}

// As Python and NumPy round: a half goes to the even neighbour.
function roundHalfEven(x) {
  const low = Math.floor(x);
  const half = x - low;
  if (half !== 0.5) return Math.round(x);
  return low % 2 ? low + 1 : low;
}
