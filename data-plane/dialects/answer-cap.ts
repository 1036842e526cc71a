import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { limitField } from './chat/openai/limit-field.js';
import { decodeKey } from './json-request.js';
import { scanObject, spliceBytes, type Splice } from './json-scanner.js';

/** Members of a request that say how long its answer may be, and how often it is made. Read by each vendor's page: */
export const ANSWER_CAP_FIELDS = {
  /** https://platform.openai.com/docs/api-reference/chat/create */
  'chat-completions': ['max_completion_tokens', 'max_tokens', 'n'],
  /** https://platform.openai.com/docs/api-reference/completions/create */
  completions: ['max_tokens', 'n', 'best_of'],
  /** https://platform.openai.com/docs/api-reference/responses/create */
  responses: ['max_output_tokens'],
  /** https://platform.claude.com/docs/en/api/messages */
  anthropic: ['max_tokens'],
  /** https://ai.google.dev/api/generate-content#v1beta.GenerationConfig; Google reads both spellings */
  gemini: ['generationConfig', 'generation_config'],
} as const;

const GEMINI_CAPS = ['maxOutputTokens', 'max_output_tokens'] as const;
const CAPPED = ['chat-completions', 'completions', 'responses'] as const;
type Capped = (typeof CAPPED)[number];

type Fields = Readonly<Record<string, unknown>>;

/** What decides by which field an answer is capped. */
export interface CapPlace {
  readonly dialect: Dialect;
  readonly operation: UsageEvent['operation'];
}

/**
 * The most tokens that an answer may have by its caller's own word. Where a field that another reader could take stands beside
 * it, the larger counts: which of them a provider believes is not ours to guess.
 * @returns undefined where there is none, or none that every reader takes for a cap
 */
export function answerCapOf(fields: Fields, place: CapPlace): number | undefined {
  const caps = capValues(fields, place).filter(
    (cap): cap is number => typeof cap === 'number' && Number.isSafeInteger(cap) && cap > 0,
  );
  return caps.length === 0 ? undefined : Math.max(...caps);
}

/** Whether a cap can be put in without changing a word of the caller's: nothing stands where it would. */
export function leavesAnswerUncapped(fields: Fields, place: CapPlace): boolean {
  return isCapped(place.operation) && capValues(fields, place).every((value) => value === undefined || value === null);
}

function isCapped(operation: UsageEvent['operation']): operation is Capped {
  return CAPPED.some((each) => each === operation);
}

function capValues(fields: Fields, { dialect, operation }: CapPlace): readonly unknown[] {
  if (!isCapped(operation)) return [];
  if (dialect === 'gemini') {
    const configs = ANSWER_CAP_FIELDS.gemini.map((name) => fields[name]);
    return configs.flatMap((config) =>
      isObject(config) ? GEMINI_CAPS.map((name) => config[name]) : config == null ? [] : [config],
    );
  }
  const names: readonly string[] = dialect === 'anthropic' ? ANSWER_CAP_FIELDS.anthropic : ANSWER_CAP_FIELDS[operation];
  return names.filter((name) => name.startsWith('max_')).map((name) => fields[name]);
}

/**
 * Puts a cap in where {@link leavesAnswerUncapped}; every other byte stays.
 * @param bytes one JSON object of the dialect
 * @param upstreamModel decides which of two names OpenAI's dialect has for it the model understands
 */
export function insertAnswerCap(
  bytes: Buffer,
  { dialect, operation, upstreamModel }: CapPlace & { readonly upstreamModel: string },
  cap: number,
): Buffer {
  const splice =
    dialect === 'gemini'
      ? geminiSplice(bytes, cap)
      : memberSplice(bytes, [nameOf(dialect, operation, upstreamModel)], cap);
  return splice === undefined ? bytes : spliceBytes(bytes, [splice]);
}

function nameOf(dialect: Dialect, operation: UsageEvent['operation'], upstreamModel: string): string {
  if (dialect === 'anthropic' || operation === 'completions') return 'max_tokens';
  return operation === 'responses' ? 'max_output_tokens' : limitField(upstreamModel);
}

function geminiSplice(bytes: Buffer, cap: number): Splice | undefined {
  const scan = scanObject(bytes, new Set(ANSWER_CAP_FIELDS.gemini), decodeKey);
  const config = [...(scan?.values.values() ?? [])].find(({ start }) => bytes[start] === OPEN_BRACE);
  if (config !== undefined) return memberSplice(bytes, GEMINI_CAPS, cap, config.start);
  return memberSplice(bytes, ANSWER_CAP_FIELDS.gemini, { [GEMINI_CAPS[0]]: cap });
}

const OPEN_BRACE = 0x7b;

/** Replaces the first of the named members that is there, else puts one of the first name in front. */
function memberSplice(bytes: Buffer, names: readonly string[], value: unknown, from = 0): Splice | undefined {
  const scan = scanObject(bytes, new Set(names), decodeKey, from);
  if (scan === undefined) return undefined;
  const written = JSON.stringify(value);
  const [present] = scan.values.values();
  if (present !== undefined) return { ...present, bytes: Buffer.from(written) };
  const member = `${JSON.stringify(names[0])}:${written}${scan.count > 0 ? ',' : ''}`;
  return { start: scan.bodyStart, end: scan.bodyStart, bytes: Buffer.from(member) };
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
