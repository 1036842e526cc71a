import type { Usage } from '@pingtoken/shared/rate-card';
import type { Piece } from './provider-message.js';

/** 50 ms of 16 bit samples, 24,000 a second. https://platform.openai.com/docs/guides/realtime-costs */
const SOUND_BYTES_PER_TOKEN = 2_400;

/**
 * Counts what a response has brought, for the case that the provider does not say: a token for each piece of text, as the
 * vendor cuts it, and one for every 50 ms of sound. What a prompt holds only the provider knows; the least that it can be is
 * the prompt of the response before, which it goes on from.
 */
export class ResponseTally {
  #texts = 0;
  #soundBytes = 0;

  /** @param before what the response before has reported; undefined for the first */
  constructor(private readonly before: Usage | undefined) {}

  get hasPieces(): boolean {
    return this.#texts > 0 || this.#soundBytes > 0;
  }

  add(piece: Piece | undefined): void {
    if (piece?.kind === 'text') this.#texts += 1;
    else if (piece?.kind === 'sound') this.#soundBytes += piece.bytes;
  }

  usage(): Usage {
    const { input = 0, cacheRead = 0, audioInput = 0, imageInput = 0 } = this.before ?? {};
    const usage: Usage = { input, output: this.#texts, request: 1 };
    if (cacheRead > 0) usage.cacheRead = cacheRead;
    if (audioInput > 0) usage.audioInput = audioInput;
    if (imageInput > 0) usage.imageInput = imageInput;
    const audioOutput = Math.ceil(this.#soundBytes / SOUND_BYTES_PER_TOKEN);
    if (audioOutput > 0) usage.audioOutput = audioOutput;
    return usage;
  }
}
