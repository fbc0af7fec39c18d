// torch's generator on a CPU, so that a seed means here what it means in the notebook.
//
//     torch.randn(n, generator=torch.Generator().manual_seed(seed))   for n >= 16
//
// Integers come from the Mersenne Twister (Matsumoto & Nishimura 1998). 24 bits of each make a
// uniform number; eight of them and the next eight make 16 normal ones (Box & Muller 1958).

const N = 624;
const M = 397;

export class Generator {
  // seed: a whole number from 0 up; only its lowest 32 bits count, as in torch.
  constructor(seed) {
    this.state = new Uint32Array(N);
    this.state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
    for (let i = 1; i < N; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.next = N;
  }

  // A whole number of 32 bits.
  integer() {
    if (this.next === N) this.#twist();
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  // Evenly spread over 0 <= u < 1.
  uniform() {
    return (this.integer() & 0xffffff) / 0x1000000;
  }

  // n numbers of N(0, 1), as torch.randn makes them.
  normal(n) {
    if (n < 16) throw new Error(`torch draws fewer than 16 numbers in another way, not ${n}.`);
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = this.uniform();
    for (let i = 0; i + 16 <= n; i += 16) boxMuller(out, i);
    if (n % 16) {
      // The last 16 are drawn anew, over some that are done.
      for (let i = n - 16; i < n; i++) out[i] = this.uniform();
      boxMuller(out, n - 16);
    }
    return out;
  }

  #twist() {
    const s = this.state;
    for (let i = 0; i < N; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % N] & 0x7fffffff);
      s[i] = s[(i + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}

function boxMuller(out, start) {
  for (let i = start; i < start + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - out[i]));
    const angle = 2 * Math.PI * out[i + 8];
    out[i] = radius * Math.cos(angle);
    out[i + 8] = radius * Math.sin(angle);
  }
}
