import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { bodyOf, KEPT_BODY_BYTES, readBody } from './body.js';
import type { Books } from './books.js';
import { refuse } from './decide.js';
import type { Decision } from './decision.js';
import { deliver, type Progress } from './deliver.js';
import { findEndpoint, type FoundEndpoint } from './endpoints.js';
import { bodyTooLarge, missingKey, unknownUrl, type DialectName } from './errors.js';
import type { ProviderCall } from './provider-call.js';
import { readRequestId } from './request-id.js';
import type { CallStart } from './record-ring.js';
import type { Served } from './served.js';
import { createStores } from './stores.js';
import type { TokenCount } from './tokens.js';

/** The longest body that is accepted, bytes. */
const BODY_BYTES = 64 * 1024 * 1024;

/**
 * Answers calls to the provider's own paths. A call is counted when it has been received whole, before its answer
 * goes out; one whose caller hung up earlier is not counted. Calls without `x-request-id` get an id `sim-<number>`;
 * an id longer than 128 characters counts by its first 128.
 */
export function createProvider({ served, receptions, faults }: Books) {
  const stores = createStores();
  let callNumber = 0;
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url = '', httpVersion, rawHeaders, headers } = request;
    const [pathname = '', query = ''] = url.split('?', 2);
    const found = findEndpoint(method, pathname);
    const body = await readBody(request, found ? BODY_BYTES : KEPT_BODY_BYTES);
    if (!body) return;
    callNumber += 1;
    const requestId = readRequestId(headers) ?? `sim-${callNumber}`;
    receptions.add({ requestId, method, url, httpVersion, rawHeaders, body });
    const dialect = dialectOf(found, pathname, headers);
    const decideNested: ProviderCall['decideNested'] = (line, nested, nestedId) => {
      const inner = findEndpoint(...splitLine(line));
      if (!inner) return refuse(call, unknownUrl(...splitLine(line)));
      const decided = inner.endpoint.decide({
        ...call,
        ...inner,
        body: bodyOf(JSON.stringify(nested)),
        callNumber: (callNumber += 1),
      });
      countAtOnce(served, { requestId: nestedId, path: inner.endpoint.path, model: decided.model }, decided);
      return decided;
    };
    const call: ProviderCall = {
      body,
      headers,
      id: found?.id ?? '',
      query: new URLSearchParams(query),
      dialect,
      stores,
      callNumber,
      nowMs: Date.now(),
      takeFaults: faults.take,
      decideNested,
    };
    const decision = found
      ? decideFound(found, call)
      : refuse(call, hasCredential(call) ? unknownUrl(method, pathname) : missingKey(dialect));
    const start = { requestId, path: found?.endpoint.path ?? 'unknown', model: decision.model } as const;
    const progress = watch(served, start, response, decision);
    await deliver(response, requestId, decision, progress);
  };
}

function splitLine(line: string): [string, string] {
  const at = line.indexOf(' ');
  return [line.slice(0, at), line.slice(at + 1)];
}

/** A call within another has no connection of its own: it is over as soon as it is decided. */
function countAtOnce(served: Served, start: CallStart, { status, tokens, units, faults }: Decision): void {
  const isError = status >= 400;
  const usage = isError || faults.usage === 'none' ? 'none' : faults.usage === 'zero' ? 'zero' : 'reported';
  const outcome = isError ? 'error' : 'completed';
  served.end(served.begin(start), start, { status, outcome, tokens, units, chunksSent: 0, usage });
}

/** The paths that the vendors share are Anthropic's where its version is named, and Google's where its key is sent. */
function dialectOf(found: FoundEndpoint | undefined, pathname: string, headers: IncomingHttpHeaders): DialectName {
  const own = found?.endpoint.dialect ?? (pathname.startsWith('/v1beta/') ? 'gemini' : 'openai');
  if (own !== 'openai') return own;
  if ('anthropic-version' in headers) return 'anthropic';
  return 'x-goog-api-key' in headers ? 'gemini' : 'openai';
}

function decideFound({ endpoint }: FoundEndpoint, call: ProviderCall): Decision {
  if (!hasCredential(call)) return refuse(call, missingKey(call.dialect));
  if (call.body.length > BODY_BYTES) return refuse(call, bodyTooLarge(BODY_BYTES));
  return endpoint.decide(call);
}

/** Any credential that is not empty is accepted, where the dialect has it. */
function hasCredential({ dialect, headers, query }: ProviderCall): boolean {
  if (/^bearer +\S/i.test(headers.authorization ?? '')) return true;
  if (dialect === 'anthropic') return Boolean(headers['x-api-key']);
  return dialect === 'gemini' && Boolean(headers['x-goog-api-key'] ?? query.get('key'));
}

/** Opens a call in the books, and closes it when its answer has been handed over or its connection is gone. */
function watch(served: Served, start: CallStart, response: ServerResponse, decision: Decision): Progress {
  const call = served.begin(start);
  const progress: Progress = { chunksSent: 0, completionTokens: 0, toldUsage: false, cutBy: undefined };
  let open = true;
  const settle = (finished: boolean): void => {
    if (!open) return;
    open = false;
    const outcome = progress.cutBy ?? (!finished ? 'aborted' : decision.status >= 400 ? 'error' : 'completed');
    served.end(call, start, {
      status: response.headersSent ? decision.status : 0,
      outcome,
      tokens: outcome === 'completed' ? decision.tokens : handedOver(decision.tokens, progress),
      units: decision.units,
      chunksSent: progress.chunksSent,
      usage: !progress.toldUsage ? 'none' : decision.faults.usage === 'zero' ? 'zero' : 'reported',
    });
  };
  response.once('finish', () => {
    settle(true);
  });
  response.once('close', () => {
    settle(false);
  });
  // The caller may have hung up in the very turn in which its body ended; then no event is still to come.
  if (response.destroyed) settle(false);
  return progress;
}

/** What a provider has spent on an answer that was cut off: the whole prompt, and the completion as far as it went. */
function handedOver(tokens: TokenCount, { completionTokens }: Progress): TokenCount {
  return { ...tokens, completion: completionTokens, reasoning: Math.min(tokens.reasoning, completionTokens) };
}
