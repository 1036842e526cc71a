/** Tokens of a piece of text, by the tokenizer that estimates are made with. */
export type CountTokens = (text: string) => number;

/**
 * Text to be tokenised in small pieces: the tokenizer's time grows with the square of a word's length, and 99 KB of Chinese
 * without a full stop, or of one letter, are one word to it. At most 3 KB in UTF-8, about 5 ms at worst.
 */
const PIECE_CHARACTERS = 1024;

/** Where in a piece a gap between two words is looked for: a cut there changes no count. */
const GAP_CHARACTERS = 256;

/** A piece that took longer than this, on a machine that is busy too, makes the rest of its text be extrapolated. */
const SLOW_PIECE_MS = 1000;

/** With less text than this tokenised, a token is taken for four bytes. */
const SAMPLE_BYTES = 1024;
const TOKENS_PER_BYTE = 0.25;

/** The texts of one kind of one call, kept until they are counted. */
export class TextTally {
  readonly #exactCharacters: number;
  readonly #texts = new Map<string, string>();
  #keptCharacters = 0;
  #uncountedBytes = 0;

  /** @param exactCharacters how much is kept and tokenised; of the rest only the length is known, and it is extrapolated */
  constructor(exactCharacters: number) {
    this.#exactCharacters = exactCharacters;
  }

  /** @param channel texts of one channel are one text in several pieces: the answer, the arguments of one tool call */
  add(channel: string, text: string): void {
    if (text === '') return;
    const kept = text.slice(0, this.#exactCharacters - this.#keptCharacters);
    this.#keptCharacters += kept.length;
    if (kept.length < text.length) this.#uncountedBytes += Buffer.byteLength(text) - Buffer.byteLength(kept);
    if (kept !== '') this.#texts.set(channel, (this.#texts.get(channel) ?? '') + kept);
  }

  /**
   * Counts piece by piece, and gives way after each.
   * @param isLate asked before each piece; once it says so, the rest is extrapolated
   * @returns tokens
   */
  *count(countTokens: CountTokens, isLate: () => boolean): Generator<void, number> {
    let tokens = 0;
    let bytes = 0;
    let uncountedBytes = this.#uncountedBytes;
    for (const text of this.#texts.values()) {
      for (let at = 0; at < text.length;) {
        if (isLate()) {
          uncountedBytes += Buffer.byteLength(text.slice(at));
          break;
        }
        const end = pieceEnd(text, at);
        const piece = text.slice(at, end);
        const startedAt = performance.now();
        tokens += countTokens(piece);
        bytes += Buffer.byteLength(piece);
        at = end;
        if (performance.now() - startedAt > SLOW_PIECE_MS) {
          uncountedBytes += Buffer.byteLength(text.slice(at));
          break;
        }
        yield;
      }
    }
    const tokensPerByte = bytes >= SAMPLE_BYTES ? tokens / bytes : TOKENS_PER_BYTE;
    return tokens + Math.round(uncountedBytes * tokensPerByte);
  }
}

/** @returns where the piece that begins at an offset ends: between two words where there is such a place near its end */
export function pieceEnd(text: string, start: number): number {
  const limit = start + PIECE_CHARACTERS;
  if (limit >= text.length) return text.length;
  for (let at = limit; at > limit - GAP_CHARACTERS; at -= 1) if (isGap(text, at)) return at;
  return isLowSurrogate(text.charCodeAt(limit)) ? limit - 1 : limit;
}

const SPACE = 0x20;

/** One space between two visible characters: the tokenizer takes it to the word behind it. */
function isGap(text: string, at: number): boolean {
  return text.charCodeAt(at) === SPACE && isVisible(text, at - 1) && isLetter(text.charCodeAt(at + 1));
}

function isVisible(text: string, at: number): boolean {
  return text.charAt(at).trim() !== '';
}

function isLetter(code: number): boolean {
  const lower = code | SPACE;
  return lower >= 0x61 && lower <= 0x7a;
}

function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff;
}
