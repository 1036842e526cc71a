/**
 * The token rule for sound: 16 bit samples, 24,000 a second, are heard at one token for every 100 ms that have begun, and
 * made at one for every 50 ms. https://platform.openai.com/docs/guides/realtime-costs
 */
const BYTES_PER_SECOND = 48_000;
const BYTES_PER_TOKEN_HEARD = BYTES_PER_SECOND / 10;
const BYTES_PER_TOKEN_MADE = BYTES_PER_SECOND / 20;

export function secondsOf(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_SECOND);
}

export function tokensHeard(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN_HEARD);
}

/** Silence of one token's length, base64: what is said beside each word, where sound is asked for. */
export const ONE_TOKEN_OF_SOUND = Buffer.alloc(BYTES_PER_TOKEN_MADE).toString('base64');
