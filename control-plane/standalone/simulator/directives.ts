import { z } from 'zod';

const milliseconds = (maximum: number) => z.int().min(0).max(maximum).optional();
const count = (maximum: number, minimum = 0) => z.int().min(minimum).max(maximum).optional();
const flag = z.boolean().optional();

/** An event, here and below, is one `data:` event of a stream other than `[DONE]`, pings of the dialect included. */
const fields = {
  /** Wait before the response head, ms. */
  delay: milliseconds(600_000),
  /** Answer with this HTTP status and the error body of the dialect. */
  status: count(599, 400),
  /** Seconds in the `retry-after` header; sent only together with `status`. */
  'retry-after': count(86_400),
  /** Send RST instead of an answer. */
  reset: flag,
  /** How long to fall silent, ms, or `forever`; the default is forever where `stall-after` is given. */
  stall: z.union([z.int().min(0).max(600_000), z.literal('forever')]).optional(),
  /** Fall silent after this many events (default 0: after the head). A plain answer falls silent after its head. */
  'stall-after': count(1_000_000),
  /** Write the body in pieces of this many bytes, across events and across UTF-8 characters. */
  split: count(65_536, 1),
  /** Destroy the socket after this many events. A plain answer dies in the middle of its body, whatever the number. */
  'die-after': count(1_000_000),
  /** Completion tokens of each choice, reasoning included, before `max_tokens` cuts. */
  tokens: count(100_000),
  /** Wait between two events, ms. */
  'chunk-delay': milliseconds(60_000),
  /** Never report usage, or report zeros. What `/served` counts is not changed by it. */
  usage: z.enum(['none', 'zero']).optional(),
  /** Cached prompt tokens, at most all of them. */
  cached: count(100_000_000),
  /** Prompt tokens that were written to the cache, of those that were not read from it; only some dialects report them. */
  'cache-write': count(100_000_000),
  /** Reasoning tokens of each choice, part of its completion tokens. */
  reasoning: count(100_000),
  /** Send an error event inside the stream after this many events, in the dialect's own shape, then end it without `[DONE]`. */
  'error-in-stream': count(1_000_000),
  /** End lines with CRLF. */
  crlf: flag,
  /** Send an SSE comment before every event. */
  comments: flag,
  /** How many more times a response in the background is shown in progress before it is done. */
  polls: count(1_000),
  /** Ignore the cap of the output (`max_tokens`, `maxOutputTokens`, …), as a provider does that costs more than was reserved. */
  overrun: flag,
  /** Refuse to answer, or stop as a content filter does, in the dialect's own words. */
  refuse: flag,
};

const faultsSchema = z.strictObject(fields);
const ruleSchema = z.strictObject({
  ...fields,
  /** How many of the next matching calls it applies to; without it, all until it is replaced. */
  times: count(1_000_000_000, 1),
  /** Only calls of this model; without it, every call, those without a model included. */
  model: z.string().max(200).optional(),
});

/** What goes wrong with one call, and how long its answer is. */
export type Faults = z.infer<typeof faultsSchema>;

/** A fault for calls to come, set by `PUT /faults`. */
export type FaultRule = z.infer<typeof ruleSchema>;

/** What a text or a JSON value asked for, or the sentence that says what is wrong with it. */
export type Parsed<T> = { readonly value: T } | { readonly problem: string };

const NO_FAULTS: Parsed<Faults> = { value: {} };

/** A block may hold no bracket, and is bounded: both keep the search linear on text made to be slow. */
const BLOCK = /\[\[sim(?:\s([^[\]]{0,1000}))?\]\]/g;

/**
 * Reads the directives in a text: any number of blocks `[[sim word word …]]`, where a word is `name=value`
 * or a bare flag, separated by white space. A later word overrides an earlier one. Text that is not a complete block
 * is plain text. A complete block with an unknown name, or a value out of bounds, is a problem.
 */
export function parseDirectives(text: string): Parsed<Faults> {
  if (!text.includes('[[sim')) return NO_FAULTS;
  const words = [...text.matchAll(BLOCK)].flatMap((block) => (block[1] ?? '').split(/\s+/).filter(Boolean));
  if (words.length === 0) return NO_FAULTS;
  return check(faultsSchema, Object.fromEntries(words.map(readWord)));
}

/** Reads the body of `PUT /faults`: one rule, or an array of at most 100, with the directives' names and bounds. */
export function parseRules(body: unknown): Parsed<FaultRule[]> {
  return check(z.array(ruleSchema).max(100), Array.isArray(body) ? body : [body]);
}

function readWord(word: string): [string, unknown] {
  const equals = word.indexOf('=');
  if (equals < 0) return [word, true];
  const value = word.slice(equals + 1);
  return [word.slice(0, equals), /^\d{1,15}$/.test(value) ? Number(value) : value];
}

function check<T>(schema: z.ZodType<T>, value: unknown): Parsed<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { value: parsed.data };
  return { problem: parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') };
}
