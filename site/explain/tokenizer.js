// CLIP's tokenizer: a sentence as pieces the text encoder knows, by byte pair encoding
// (Sennrich et al. 2016), and the words that the training never met.

const SPLIT = /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;
const SPECIAL = /<\|startoftext\|>|<\|endoftext\|>/;

export class Tokenizer {
  // about: model.json, of which tokenizer, vocabulary, synonyms, names and factors are read.
  constructor(about) {
    Object.assign(this, about.tokenizer);
    this.ranks = new Map(this.merges.map(([a, b], i) => [`${a} ${b}`, i]));
    this.vocabulary = new Set(about.vocabulary);
    this.names = about.names;
    this.factors = Object.keys(about.factors);
    this.synonyms = about.synonyms;
    this.name = anyOf(this.names);
    this.synonym = anyOf(this.synonyms);
  }

  // Ids for the text encoder: start, pieces, end and padding, `length` of them.
  ids(text) {
    const pieces = this.piecesOf(text).slice(0, this.length - 2).map((piece) => piece.id);
    const ids = [this.start, ...pieces, this.end];
    return [...ids, ...Array(this.length - ids.length).fill(this.pad)];
  }

  // The pieces of a text in order, before it is cut: {id, piece, word}.
  piecesOf(text) {
    const clean = text.normalize("NFC").replace(/\s+/gu, " ").toLowerCase();
    return (clean.match(SPLIT) ?? []).flatMap((word) => {
      if (SPECIAL.test(word)) return [{ id: word.includes("start") ? this.start : this.end, piece: word, word }];
      return this.#merge(word).map((piece) => ({ id: this.pieces[piece] ?? this.unknown, piece, word }));
    });
  }

  // The words and emoji that the training never met, each once.
  unknownWords(text) {
    const plain = text.toLowerCase().replace(/['\u2019]s(?![\p{L}\p{N}_])/gu, "");
    const words = plain.match(/[\p{L}\p{N}]+|\p{So}/gu) ?? [];
    return [...new Set(words.filter((word) => !this.vocabulary.has(word)))];
  }

  // The factors of a scene that a prompt names: {place: "beach", ...}.
  read(prompt) {
    const named = {};
    const text = prompt.toLowerCase().split(/\s+/u).join(" ");
    const plain = text.replace(this.synonym, (other) => this.synonyms[other]);
    for (const [name] of plain.matchAll(this.name)) {
      const [factor, value] = this.names[name];
      named[factor] ??= value;
    }
    return Object.fromEntries(this.factors.filter((f) => f in named).map((f) => [f, named[f]]));
  }

  #merge(word) {
    const bytes = [...new TextEncoder().encode(word)].map((byte) => BYTES[byte]);
    bytes[bytes.length - 1] += this.end_of_word;
    let pieces = bytes;
    while (pieces.length > 1) {
      let best = Infinity;
      for (let i = 0; i + 1 < pieces.length; i++) {
        best = Math.min(best, this.ranks.get(`${pieces[i]} ${pieces[i + 1]}`) ?? Infinity);
      }
      if (best === Infinity) break;
      const [a, b] = this.merges[best];
      const merged = [];
      for (let i = 0; i < pieces.length; i++) {
        const both = pieces[i] === a && pieces[i + 1] === b;
        merged.push(both ? a + b : pieces[i]);
        if (both) i++;
      }
      pieces = merged;
    }
    return pieces;
  }
}

// A printable character for each byte, as GPT-2 chose them.
const BYTES = (() => {
  const printable = (b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let spare = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : spare++));
})();

// Where one of these words or phrases stands in a text, the longest first.
function anyOf(words) {
  const longest = Object.keys(words).sort((a, b) => b.length - a.length);
  return new RegExp(`(?<![\\p{L}\\p{N}_])(${longest.join("|")})(?![\\p{L}\\p{N}_])`, "gu");
}
