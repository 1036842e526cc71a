import { isObject } from '../json.js';
import type { ChatRequest, ResponseFormat, UnreadableRequest } from '../chat.js';
import { Faults, Fields } from './fields.js';
import { readMessages } from './read-messages.js';
import { readTools } from './read-tools.js';

const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const;

/** https://platform.openai.com/docs/api-reference/chat/create, as of the official client's types. */
export function readRequest(body: unknown): ChatRequest | UnreadableRequest {
  const faults = new Faults();
  if (!isObject(body)) return { unreadable: { field: '', message: 'The request body must be a JSON object.' } };
  const fields = new Fields(body, '', faults);
  const request = readFields(fields);
  leaveOutUncarried(fields);
  fields.finish();
  if (faults.first !== undefined) return { unreadable: faults.first };
  return faults.inexpressible.length === 0 ? request : { ...request, inexpressible: faults.inexpressible };
}

function readFields(fields: Fields): ChatRequest {
  return {
    model: fields.requiredString('model'),
    streamed: fields.boolean('stream') ?? false,
    wantsStreamUsage: readWantsUsage(fields),
    ...readMessages(fields),
    ...readTools(fields),
    ...given({
      maxOutputTokens: readMaxOutputTokens(fields),
      temperature: fields.number('temperature'),
      topP: fields.number('top_p'),
      // Not OpenAI's, but sent in its dialect by many: https://openrouter.ai/docs/api-reference/parameters
      topK: fields.integer('top_k', 0),
      frequencyPenalty: fields.number('frequency_penalty'),
      presencePenalty: fields.number('presence_penalty'),
      seed: fields.integer('seed', Number.MIN_SAFE_INTEGER),
      stop: readStop(fields),
      responseFormat: readResponseFormat(fields),
      reasoning: readReasoningWish(fields),
      answerCount: fields.integer('n', 1),
      logprobs: readLogprobs(fields),
      verbosity: fields.oneOf('verbosity', ['low', 'medium', 'high']),
      serviceTier: readServiceTier(fields),
      endUser: readEndUser(fields),
    }),
  };
}

type Given<Values> = { [Name in keyof Values]?: Exclude<Values[Name], undefined> };

/** Leaves out what is undefined: an optional field of the neutral form is absent or has a value. */
function given<Values extends object>(values: Values): Given<Values> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<Values>;
}

function readWantsUsage(fields: Fields): boolean {
  const options = fields.nested('stream_options');
  const wantsUsage = options?.boolean('include_usage') ?? false;
  // Padding against eavesdroppers, on by default: what is not OpenAI's stream does not have it.
  options?.boolean('include_obfuscation');
  options?.finish();
  return wantsUsage;
}

function readMaxOutputTokens(fields: Fields): number | undefined {
  const limit = fields.integer('max_completion_tokens', 1);
  const oldLimit = fields.integer('max_tokens', 1);
  if (limit !== undefined && oldLimit !== undefined && limit !== oldLimit) {
    fields.refuse('max_tokens', '"max_tokens" and "max_completion_tokens" must not say different things.');
  }
  return limit ?? oldLimit;
}

function readStop(fields: Fields): readonly string[] | undefined {
  const stop = fields.any('stop');
  if (stop === undefined) return undefined;
  const list: readonly unknown[] = Array.isArray(stop) ? stop : [stop];
  const texts = list.filter((text) => typeof text === 'string');
  if (texts.length < list.length) fields.refuse('stop', '"stop" must be a string or a list of strings.');
  return texts.length === 0 ? undefined : texts;
}

function readResponseFormat(fields: Fields): ResponseFormat | undefined {
  const format = fields.nested('response_format');
  const type = format?.oneOf('type', ['text', 'json_object', 'json_schema']);
  if (format !== undefined && type === undefined) format.refuse('type', '"response_format.type" must be given.');
  const details = type === 'json_schema' ? format?.nested('json_schema') : undefined;
  if (type === 'json_schema' && details === undefined) {
    format?.refuse('json_schema', '"response_format.json_schema" must be given.');
  }
  format?.finish();
  if (type === 'json_object') return { kind: 'json' };
  return details && readJsonSchema(details);
}

function readJsonSchema(details: Fields): ResponseFormat {
  const name = details.requiredString('name');
  const schema = details.any('schema') ?? {};
  if (!isObject(schema)) details.refuse('schema', `"${details.pathOf('schema')}" must be a JSON Schema object.`);
  const optional = given({ description: details.string('description'), strict: details.boolean('strict') });
  details.finish();
  return { kind: 'json-schema', name, schema, ...optional };
}

function readReasoningWish(fields: Fields): ChatRequest['reasoning'] {
  const effort = fields.oneOf('reasoning_effort', EFFORTS);
  return effort && { effort };
}

function readLogprobs(fields: Fields): ChatRequest['logprobs'] {
  const isWanted = fields.boolean('logprobs') ?? false;
  const top = fields.integer('top_logprobs', 0) ?? 0;
  if (top > 0 && !isWanted) fields.refuse('top_logprobs', '"top_logprobs" needs "logprobs" to be true.');
  return isWanted ? { top } : undefined;
}

/** `auto` is what it means to say nothing. */
function readServiceTier(fields: Fields): string | undefined {
  const tier = fields.string('service_tier');
  return tier === 'auto' ? undefined : tier;
}

function readEndUser(fields: Fields): string | undefined {
  const user = fields.string('user');
  return fields.string('safety_identifier') ?? user;
}

function leaveOutUncarried(fields: Fields): void {
  const isEmpty = (value: unknown): boolean => isObject(value) && Object.keys(value).length === 0;
  const isTextOnly = (value: unknown): boolean => Array.isArray(value) && value.every((item) => item === 'text');
  const isNot = 'cannot be carried over to the provider that serves this model';
  fields.leaveOutUnless('modalities', isTextOnly, `Spoken answers ${isNot}.`);
  fields.leaveOutUnless('audio', () => false, `Spoken answers ${isNot}.`);
  fields.leaveOutUnless('logit_bias', isEmpty, `"logit_bias" ${isNot}.`);
  fields.leaveOutUnless('metadata', isEmpty, `"metadata" ${isNot}.`);
  fields.leaveOutUnless('store', (value) => value === false, `Storing the answer ${isNot}.`);
  fields.leaveOutUnless('moderation', () => false, `"moderation" ${isNot}.`);
  fields.leaveOutUnless('web_search_options', () => false, `The search of the web ${isNot}.`);
  // Hints on how to make the same answer sooner or cheaper: where there is no use for them, nothing is lost.
  fields.passOver('prediction', 'prompt_cache_key', 'prompt_cache_options', 'prompt_cache_retention');
}
