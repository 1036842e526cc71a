import type { IncomingHttpHeaders } from 'node:http';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { GEMINI_ACTS, type GeminiAct } from './dialects/gemini-act.js';
import type { ReportingOperation } from './dialects/operations/read-usage.js';
import { refuse, type Refusal } from './http-error.js';
import { findKeptEndpoint, type KeptEndpoint } from './resources/kept-endpoint.js';

/** What a path and a method ask for. */
export type Endpoint =
  | ModelEndpoint
  | ContentEndpoint
  | GeminiActEndpoint
  | { readonly name: 'count-tokens' }
  | { readonly name: 'list-models' }
  | { readonly name: 'show-model'; readonly model: string }
  | { readonly name: 'describe-key' }
  | RealtimeEndpoint
  | KeptEndpoint
  | PassthroughEndpoint
  | ProbeEndpoint;

/** A call of a model that its body names. */
export interface ModelEndpoint {
  readonly name: 'model-call';
  readonly operation: ReportingOperation;
  /** Behind the base URL of a provider of the same dialect, as callers have it behind theirs: `/images/edits`. */
  readonly path: string;
  readonly accepts: readonly BodyKind[];
}

/** How a body is written. */
export type BodyKind = 'json' | 'multipart';

/** Gemini's callers say in the path what others say in the body. */
export interface ContentEndpoint {
  readonly name: 'generate-content';
  readonly model: string;
  readonly streamed: boolean;
}

/** What else they ask for: vectors, and how many tokens a prompt has. */
export interface GeminiActEndpoint {
  readonly name: 'gemini-act';
  readonly act: GeminiAct;
  readonly model: string;
}

/** A WebSocket. */
export interface RealtimeEndpoint {
  readonly name: 'realtime';
}

export type ProbeName = 'healthz' | 'readyz' | 'metrics';
interface ProbeEndpoint {
  readonly name: ProbeName;
}

export interface PassthroughEndpoint {
  readonly name: 'passthrough';
  /** Names the provider. */
  readonly slug: string;
  /** Below the provider's base URL, from the first slash, exactly as the caller spelt it. */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
}

/** Why a head is not one that can be served; `allow` goes with a 405. */
export type HeadRefusal = Refusal & { readonly allow?: string };

export function isProbe(endpoint: Endpoint): endpoint is ProbeEndpoint {
  return endpoint.name === 'healthz' || endpoint.name === 'readyz' || endpoint.name === 'metrics';
}

/**
 * The dialect that a path belongs to; errors of paths that nobody has are told in OpenAI's. The list of models is at one path
 * for all three, so there the vendors' clients are told apart by the headers that only theirs send.
 */
export function dialectOf(url: string, headers: IncomingHttpHeaders = {}): Dialect {
  if (url.startsWith(GEMINI_PREFIX) || GEMINI_ACTION.test(url)) return 'gemini';
  if (url.startsWith('/v1/messages') || url.startsWith('/api/v1/messages')) return 'anthropic';
  if (!MODEL_QUESTION.test(url)) return 'openai';
  if ('anthropic-version' in headers) return 'anthropic';
  return 'x-goog-api-key' in headers || KEY_IN_QUERY.test(url) ? 'gemini' : 'openai';
}

const MODEL_QUESTION = /^(?:\/api)?\/v1\/models(?:[/?]|$)/;
const KEY_IN_QUERY = /[?&]key=/;

const GEMINI_PREFIX = '/v1beta/';
/** Google's client asks for content under `/v1` too, where the models are OpenAI's. */
const GEMINI_ACTION = new RegExp(
  `^(?:/api)?/v1(?:beta)?/models/[^?]*:(?:generateContent|streamGenerateContent|${GEMINI_ACTS.join('|')})(?:\\?|$)`,
);
const CONTENT_PREFIXES = ['/v1beta/models/', '/v1/models/'];
const GEMINI_MODELS = '/v1beta/models';
const VERSION_PREFIX = '/v1';
const PASSTHROUGH_PREFIX = '/passthrough/';
const FINE_TUNING_PREFIX = '/v1/fine_tuning/';

const JSON_ONLY = ['json'] as const;
const FORM_ONLY = ['multipart'] as const;

/** Endpoints that are one path, by what they serve. All are called with POST. */
const MODEL_ENDPOINTS: ReadonlyMap<string, ModelEndpoint> = new Map(
  (
    [
      ['/chat/completions', 'chat-completions', JSON_ONLY],
      ['/messages', 'chat-completions', JSON_ONLY],
      ['/completions', 'completions', JSON_ONLY],
      ['/responses', 'responses', JSON_ONLY],
      ['/embeddings', 'embeddings', JSON_ONLY],
      ['/images/generations', 'images', JSON_ONLY],
      // Pictures may also be given by their URLs or as base64, in JSON.
      ['/images/edits', 'images', ['multipart', 'json']],
      ['/images/variations', 'images', FORM_ONLY],
      ['/audio/speech', 'speech', JSON_ONLY],
      ['/audio/transcriptions', 'transcriptions', FORM_ONLY],
      ['/audio/translations', 'translations', FORM_ONLY],
      ['/moderations', 'moderations', JSON_ONLY],
      ['/rerank', 'rerank', JSON_ONLY],
    ] as const
  ).map(([path, operation, accepts]) => [path, { name: 'model-call', operation, path, accepts }]),
);

const LIST_MODELS: Endpoint = { name: 'list-models' };
const REALTIME: Endpoint = { name: 'realtime' };

export function findEndpoint(method: string, url: string): Endpoint | HeadRefusal {
  const queryAt = url.indexOf('?');
  const spelt = queryAt === -1 ? url : url.slice(0, queryAt);
  if (spelt.startsWith(PASSTHROUGH_PREFIX)) return passthroughEndpoint(spelt, queryAt === -1 ? '' : url.slice(queryAt));
  const path = spelt.startsWith('/api/v1/') ? spelt.slice('/api'.length) : spelt;
  const modelCall = path.startsWith(VERSION_PREFIX)
    ? MODEL_ENDPOINTS.get(path.slice(VERSION_PREFIX.length))
    : undefined;
  if (modelCall !== undefined) return allow(method, 'POST', modelCall);
  switch (path) {
    case '/v1/models':
    case GEMINI_MODELS:
      return allow(method, 'GET', LIST_MODELS);
    case '/v1/messages/count_tokens':
      return allow(method, 'POST', { name: 'count-tokens' });
    case '/v1/key':
      return allow(method, 'GET', { name: 'describe-key' });
    case '/v1/realtime':
      return allow(method, 'GET', REALTIME);
    case '/healthz':
    case '/readyz':
    case '/metrics':
      return allow(method, 'GET', { name: path.slice(1) as ProbeName });
    default:
      if (GEMINI_ACTION.test(path) || (method === 'POST' && path.startsWith(GEMINI_PREFIX))) {
        return contentEndpoint(method, path, url.slice(spelt.length));
      }
      if (path.startsWith(FINE_TUNING_PREFIX)) return refuseFineTuning();
      return keptEndpoint(method, path, url.slice(spelt.length)) ?? modelEndpoint(method, path);
  }
}

function refuseFineTuning(): Refusal {
  return refuse('unknown_path', null, 'Models are trained only by pass-through, with a credential of your own.');
}

function keptEndpoint(method: string, path: string, query: string): Endpoint | HeadRefusal | undefined {
  return path.startsWith(`${VERSION_PREFIX}/`)
    ? findKeptEndpoint(method, path.slice(VERSION_PREFIX.length), query)
    : undefined;
}

function allow(method: string, allowed: string, endpoint: Endpoint): Endpoint | HeadRefusal {
  return method === allowed ? endpoint : { ...refuse('method_not_allowed'), allow: allowed };
}

/** Aliases may hold slashes, so the rest of the path is one name. */
function modelEndpoint(method: string, path: string): Endpoint | HeadRefusal {
  const prefix = CONTENT_PREFIXES.find((each) => path.startsWith(each));
  if (prefix === undefined) return refuse('unknown_path');
  try {
    return allow(method, 'GET', { name: 'show-model', model: decodeURIComponent(path.slice(prefix.length)) });
  } catch {
    return refuse('unknown_path');
  }
}

/** https://ai.google.dev/api/generate-content: `<model>:generateContent`, `<model>:streamGenerateContent?alt=sse` */
function contentEndpoint(method: string, path: string, query: string): Endpoint | HeadRefusal {
  const actionAt = path.lastIndexOf(':');
  const action = path.slice(actionAt + 1);
  const streamed = action === 'streamGenerateContent';
  const act = GEMINI_ACTS.find((each) => each === action);
  const prefix = CONTENT_PREFIXES.find((each) => path.startsWith(each));
  if (prefix === undefined || actionAt === -1 || (!streamed && act === undefined && action !== 'generateContent')) {
    return refuse('unknown_path');
  }
  // Without it Google sends one growing JSON list, which no client of its own asks for.
  if (streamed && new URLSearchParams(query).get('alt') !== 'sse') {
    return refuse('invalid_request', 'alt', 'Streams are sent as server-sent events: add ?alt=sse.');
  }
  try {
    const model = decodeURIComponent(path.slice(prefix.length, actionAt));
    if (act !== undefined) return allow(method, 'POST', { name: 'gemini-act', act, model });
    return allow(method, 'POST', { name: 'generate-content', model, streamed });
  } catch {
    return refuse('unknown_path');
  }
}

function passthroughEndpoint(path: string, query: string): Endpoint | HeadRefusal {
  const pathAt = path.indexOf('/', PASSTHROUGH_PREFIX.length);
  if (pathAt === -1) return refuse('unknown_path');
  return {
    name: 'passthrough',
    slug: path.slice(PASSTHROUGH_PREFIX.length, pathAt),
    path: path.slice(pathAt),
    query,
  };
}
