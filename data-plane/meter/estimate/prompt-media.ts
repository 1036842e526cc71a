import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { membersOf } from './output-text.js';

/**
 * What is no text in a prompt, by a flat rule: neither the pixels of a picture nor the length of a sound are looked at. Each
 * number is one that the vendor states for a usual piece, or for the smallest, so that the rule errs in the caller's favour.
 */
interface FlatTokens {
  readonly image: number;
  /** Where the caller asks for little detail. */
  readonly imageOfLowDetail: number;
  /** A PDF, a video: one page of text, whatever its length. */
  readonly file: number;
  readonly audioSecond: number;
}

const FLAT_TOKENS: Readonly<Record<Dialect, FlatTokens>> = {
  // 1024 by 1024 pixels. https://platform.openai.com/docs/guides/images-vision
  openai: { image: 765, imageOfLowDetail: 85, file: 1500, audioSecond: 10 },
  // The largest that is not scaled down. https://platform.claude.com/docs/en/build-with-claude/vision
  anthropic: { image: 1600, imageOfLowDetail: 1600, file: 1500, audioSecond: 0 },
  // One tile, one page. https://ai.google.dev/gemini-api/docs/tokens
  gemini: { image: 258, imageOfLowDetail: 258, file: 258, audioSecond: 32 },
};

/** Bytes that a second of sound takes: 24 kHz of 16 bits where it is not compressed, else 128 kbit/s. */
const PLAIN_AUDIO_BYTES_A_SECOND = 48_000;
const COMPRESSED_AUDIO_BYTES_A_SECOND = 16_000;

/** Output tokens of an image in an answer. https://ai.google.dev/gemini-api/docs/image-generation */
export const GENERATED_IMAGE_TOKENS = 1290;

export interface MediaTokens {
  readonly input: number;
  readonly audioInput: number;
}

/** @returns what an object in a prompt costs as a picture, a sound or a file; undefined where it is none of them */
export function mediaTokensOf(part: Readonly<Record<string, unknown>>, dialect: Dialect): MediaTokens | undefined {
  const inline = part['inlineData'] ?? part['inline_data'] ?? part['fileData'] ?? part['file_data'];
  if (dialect === 'gemini') return inline === undefined ? undefined : geminiMedia(membersOf(inline));
  const flat = FLAT_TOKENS[dialect];
  switch (part['type']) {
    case 'image':
    case 'image_url':
    case 'input_image': {
      const detail = part['detail'] ?? membersOf(part['image_url'])['detail'];
      return { input: detail === 'low' ? flat.imageOfLowDetail : flat.image, audioInput: 0 };
    }
    case 'input_audio': {
      const { data, format } = membersOf(part['input_audio']);
      return { input: 0, audioInput: audioTokens(data, format, flat) };
    }
    case 'file':
    case 'input_file':
      return { input: flat.file, audioInput: 0 };
    case 'document':
      return isText(membersOf(part['source'])) ? undefined : { input: flat.file, audioInput: 0 };
    default:
      return undefined;
  }
}

/** A document that is given as text is counted as text. */
function isText({ type }: Readonly<Record<string, unknown>>): boolean {
  return type === 'text' || type === 'content';
}

function geminiMedia(media: Readonly<Record<string, unknown>>): MediaTokens {
  const flat = FLAT_TOKENS.gemini;
  const named = media['mimeType'] ?? media['mime_type'];
  const mediaType = typeof named === 'string' ? named : '';
  if (mediaType.startsWith('image/')) return { input: flat.image, audioInput: 0 };
  if (mediaType.startsWith('audio/')) return { input: 0, audioInput: audioTokens(media['data'], mediaType, flat) };
  return { input: flat.file, audioInput: 0 };
}

/** A sound that is given by its address has no length that is known here, and counts nothing. */
function audioTokens(base64: unknown, format: unknown, flat: FlatTokens): number {
  if (typeof base64 !== 'string') return 0;
  const isPlain = typeof format === 'string' && /wav|pcm|l16/i.test(format);
  const bytesASecond = isPlain ? PLAIN_AUDIO_BYTES_A_SECOND : COMPRESSED_AUDIO_BYTES_A_SECOND;
  return Math.ceil(((base64.length * 3) / 4 / bytesASecond) * flat.audioSecond);
}
