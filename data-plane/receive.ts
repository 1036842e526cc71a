import { randomFillSync } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { v7 } from 'uuid';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { CallTiming } from './call-timing.js';
import { findEndpoint, type Endpoint, type HeadRefusal } from './endpoints.js';
import { refuse, type Answer, type CallerResponse } from './http-error.js';

/** A request's head; nothing of its body has been asked for. */
export interface Received {
  readonly request: IncomingMessage;
  readonly response: CallerResponse;
  /** UUIDv7: the call's id toward caller, provider and ledger. */
  readonly requestId: string;
  readonly timing: CallTiming;
  readonly endpoint: Endpoint;
  /** What the caller speaks, told by its path. */
  readonly dialect: Dialect;
}

const ID_RANDOM_BYTES = 16;
const randomPool = Buffer.alloc(ID_RANDOM_BYTES * 256);
let nextRandomAt = randomPool.length;

/** The randomness of many ids is drawn at once: a draw costs microseconds whatever its size. */
export function createRequestId(): string {
  if (nextRandomAt === randomPool.length) {
    randomFillSync(randomPool);
    nextRandomAt = 0;
  }
  nextRandomAt += ID_RANDOM_BYTES;
  return v7({ random: randomPool.subarray(nextRandomAt - ID_RANDOM_BYTES, nextRandomAt) });
}

/**
 * Reads the head only. Framing that two readers could understand differently is refused before anything is believed:
 * `Transfer-Encoding` beside `Content-Length` already by Node's parser, two `Host` headers and absolute-form targets here
 * (Node accepts both; a proxy in front may have judged the other one). RFC 9112, 3.2 and 6.3.
 */
export function receive({ request, response, requestId, timing, dialect }: Answer): Received | HeadRefusal {
  const url = request.url ?? '';
  if (!url.startsWith('/')) return refuse('invalid_request', null, 'The request target must be a path.');
  if (hasTwoHosts(request.rawHeaders)) return refuse('invalid_request', null, 'More than one Host header.');
  const endpoint = findEndpoint(request.method ?? '', url);
  if ('refused' in endpoint) return endpoint;
  return { request, response, requestId, timing, endpoint, dialect };
}

function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1;
}
