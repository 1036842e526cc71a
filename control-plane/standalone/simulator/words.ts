const OPENING = ['This', ' is', ' the', ' simulator’s', ' answer:'];
const THINKING = ['Let', ' me', ' think:'];
const PLAIN = ' a river carries small stones over quiet fields while seven lamps burn near old harbour walls'.split(
  /(?= )/,
);
/** Two, three and four byte characters, so that a stream cut anywhere is sooner or later cut inside a character. */
const FOREIGN = [' naïve', ' Ωmega', ' 日本', ' 🙂', ' façade', ' мир', ' 한글', ' 𝛑'];

/** The word at a place of an answer, its space before it. Every fourth word is not ASCII. */
export function wordAt(seed: number, index: number): string {
  return OPENING[index] ?? drawWord(seed, index);
}

/** The word at a place of what the model thought before it answered. */
export function thoughtAt(seed: number, index: number): string {
  return THINKING[index] ?? drawWord(seed ^ 0x5bd1e995, index);
}

function drawWord(seed: number, index: number): string {
  const words = index % 4 === 3 ? FOREIGN : PLAIN;
  return words[mix(seed + index) % words.length] ?? ' word';
}

/** FNV-1a over UTF-16 units, 32 bits: quick, and the same on every machine. */
export function hash(texts: readonly string[]): number {
  let state = 0x811c9dc5;
  for (const text of texts) {
    for (let index = 0; index < text.length; index += 1) {
      state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
    }
    state = Math.imul(state ^ 0x1f, 0x01000193);
  }
  return state >>> 0;
}

/** Spreads neighbouring numbers over 32 bits (the finaliser of MurmurHash3). */
export function mix(value: number): number {
  let state = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
