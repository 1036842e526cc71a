import type { Usage } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';
import { readTranscriptionUsage } from '../dialects/operations/audio-usage.js';
import { readRealtimeUsage } from '../dialects/operations/realtime-usage.js';
import { memberOf } from '../dialects/operations/report.js';
import { decodeKey } from '../dialects/json-request.js';
import { scanObject, type Range } from '../dialects/json-scanner.js';

/** What a message of the provider means to us; of most, nothing. */
export type ProviderMessage =
  | { readonly kind: 'other' }
  | { readonly kind: 'response-created'; readonly responseId: string }
  | { readonly kind: 'response-part'; readonly responseId: string; readonly piece: Piece | undefined }
  | {
      readonly kind: 'response-done';
      readonly responseId: string;
      readonly hasFailed: boolean;
      readonly usage: Usage | undefined;
    }
  | { readonly kind: 'transcribed'; readonly usage: Usage | undefined }
  | { readonly kind: 'error' }
  /** How much our account there may still use, which many tenants share. */
  | { readonly kind: 'rate-limits' };

/** A piece of an answer: text (spoken, written, or the arguments of a tool), or so many bytes of sound. */
export type Piece = { readonly kind: 'text' } | { readonly kind: 'sound'; readonly bytes: number };

const OTHER: ProviderMessage = { kind: 'other' };
const KEYS: ReadonlySet<string> = new Set(['type', 'response_id', 'delta']);
/** Under the name of the API, and under that of its preview. */
const SOUND = /^response\.(?:output_)?audio\.delta$/;

/**
 * Reads a message by its raw bytes: only those that open or close an account are parsed, and sound goes by unread.
 * https://platform.openai.com/docs/api-reference/realtime-server-events
 */
export function readProviderMessage(bytes: Buffer): ProviderMessage {
  const scan = scanObject(bytes, KEYS, decodeKey);
  // What is nested too deep for the scan may still report.
  const whole = scan === undefined ? parse(bytes) : undefined;
  const textOf = (key: string): string => {
    const range = scan?.values.get(key);
    const value = range === undefined ? memberOf(whole, key) : parse(bytes.subarray(range.start, range.end));
    return typeof value === 'string' ? value : '';
  };
  const type = textOf('type');
  switch (type) {
    case 'response.created':
      return { kind: 'response-created', responseId: idOf(memberOf(parse(bytes), 'response')) };
    case 'response.done':
      return responseDone(memberOf(parse(bytes), 'response'));
    case 'conversation.item.input_audio_transcription.completed': {
      const event = parse(bytes);
      // The reader is that of a transcription by HTTP, whose answer has a `text`.
      const answer = { text: memberOf(event, 'transcript'), usage: memberOf(event, 'usage') };
      return { kind: 'transcribed', usage: readTranscriptionUsage(answer) };
    }
    case 'error':
      return { kind: 'error' };
    case 'rate_limits.updated':
      return { kind: 'rate-limits' };
    default:
      if (!type.startsWith('response.')) return OTHER;
      return {
        kind: 'response-part',
        responseId: textOf('response_id'),
        piece: pieceOf(type, scan?.values.get('delta')),
      };
  }
}

const BASE64_BYTES = 3 / 4;

/** @param delta where it stands, with its quotes */
function pieceOf(type: string, delta: Range | undefined): Piece | undefined {
  if (delta === undefined || !type.endsWith('.delta')) return undefined;
  if (!SOUND.test(type)) return { kind: 'text' };
  return { kind: 'sound', bytes: Math.floor((delta.end - delta.start - 2) * BASE64_BYTES) };
}

function responseDone(response: unknown): ProviderMessage {
  const hasFailed = memberOf(response, 'status') === 'failed';
  return { kind: 'response-done', responseId: idOf(response), hasFailed, usage: readRealtimeUsage(response) };
}

function idOf(response: unknown): string {
  const id = memberOf(response, 'id');
  return typeof id === 'string' ? id : '';
}

function parse(bytes: Buffer): unknown {
  try {
    return parseJson(bytes.toString());
  } catch {
    return undefined;
  }
}
