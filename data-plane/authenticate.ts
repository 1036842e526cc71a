import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { hashApiKey } from '@pingtoken/shared/key-format';
import type { BodyKind } from './endpoints.js';
import { refuse, type Refusal } from './http-error.js';
import type { Received } from './receive.js';
import type { Account, Catalogue, Snapshot } from './snapshot.js';

/** A caller that is known. */
export type Authenticated = Received & {
  readonly account: Account;
  /** SHA-256 of the bearer, base64url. */
  readonly keyHash: string;
  /** The generation of the config that holds for this call from here to its end. */
  readonly catalogue: Catalogue;
};

/** A caller that is known, and all that it sent, raw. */
export type WithBody = Authenticated & { readonly body: Buffer };

/**
 * Knows the caller by the head alone. The snapshot is the only place that is asked: a key that is not in it causes no
 * look-up anywhere else, so that guessing keys costs the guesser more than us.
 * @param nowMs milliseconds since 1970
 */
export function authenticate(received: Received, snapshot: Snapshot, nowMs: number): Authenticated | Refusal {
  const { catalogue } = snapshot;
  // Without a config nothing is known, so nobody can be told that their key is wrong.
  if (catalogue === undefined) return refuse('not_ready');
  const presented = presentedKey(received.request);
  const { socket } = received.request;
  let bearer = lastBearers.get(socket);
  if (bearer?.presented !== presented || bearer.catalogue !== catalogue) {
    const found = findBearer(presented, snapshot, catalogue);
    if ('refused' in found) return found;
    bearer = found;
    lastBearers.set(socket, bearer);
  }
  const { account, keyHash } = bearer;
  if (!isUsable(account, nowMs)) return refuse('invalid_api_key');
  if (account.tenant.status !== 'active') return refuse('tenant_suspended');
  return { ...received, account, keyHash, catalogue };
}

/** Who a key stands for in one generation of the config. */
interface KnownBearer {
  readonly presented: string;
  readonly catalogue: Catalogue;
  readonly account: Account;
  readonly keyHash: string;
}

/** A connection's calls nearly always carry the same key, and every change of the config makes a new catalogue. */
const lastBearers = new WeakMap<Socket, KnownBearer>();

function findBearer(presented: string, snapshot: Snapshot, catalogue: Catalogue): KnownBearer | Refusal {
  if (presented === '') {
    return refuse('invalid_api_key', null, 'Provide your API key in an Authorization header: Bearer YOUR_KEY.');
  }
  const keyHash = hashApiKey(presented);
  const account = snapshot.findAccount(keyHash);
  return account === undefined ? refuse('invalid_api_key') : { presented, catalogue, account, keyHash };
}

/**
 * One key serves every client, in whichever place its vendor's client puts it. A key in the query is read here and goes no
 * further: a provider's path is made from our own, and no log line holds a caller's.
 * @returns the bare key, empty where there is none
 */
export function presentedKey({ headers, url = '' }: IncomingMessage): string {
  const bearer = readBearer(headers.authorization ?? '');
  if (bearer !== undefined) return bearer;
  for (const name of KEY_HEADERS) {
    const value = headers[name];
    if (typeof value === 'string' && value !== '') return value;
  }
  const queryAt = url.indexOf('?');
  return queryAt === -1 ? '' : (new URLSearchParams(url.slice(queryAt + 1)).get('key') ?? '');
}

/** Anthropic's and Google's clients. */
const KEY_HEADERS = ['x-api-key', 'x-goog-api-key'] as const;

/** Neither revoked nor expired. */
function isUsable({ apiKey }: Account, nowMs: number): boolean {
  return apiKey.status === 'active' && (apiKey.expiresAt === null || nowMs < apiKey.expiresAt);
}

/** RFC 6750, 2.1; the scheme's name in any case, RFC 9110, 11.1. */
function readBearer(header: string): string | undefined {
  if (header.length < 8) return undefined;
  if (header.slice(0, 7).toLowerCase() !== 'bearer ') return undefined;
  const bearer = header.slice(7).trim();
  return bearer === '' ? undefined : bearer;
}

const MEDIA_TYPES: Readonly<Record<BodyKind, { readonly name: string; readonly pattern: RegExp }>> = {
  json: { name: 'application/json', pattern: /^application\/json\s*(?:;|$)/i },
  multipart: { name: 'multipart/form-data', pattern: /^multipart\/form-data\s*;/i },
};

const JSON_ONLY: readonly BodyKind[] = ['json'];

/** Judges the body by the head, so that what cannot be used is not received either. */
export function checkBodyHead({ request }: Received, accepts: readonly BodyKind[] = JSON_ONLY): Refusal | undefined {
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers;
  if (!accepts.some((kind) => MEDIA_TYPES[kind].pattern.test(type))) {
    const names = accepts.map((kind) => MEDIA_TYPES[kind].name).join(' or ');
    return refuse('unsupported_media_type', null, `The content type must be ${names}.`);
  }
  if (encoding.toLowerCase() !== 'identity') {
    return refuse('unsupported_media_type', null, 'The body must not be compressed.');
  }
  return undefined;
}

export function isForm({ request }: Received): boolean {
  return MEDIA_TYPES.multipart.pattern.test(request.headers['content-type'] ?? '');
}

/** The caller hung up while it was sending: there is nobody to answer. */
export const CALLER_LEFT = Symbol('caller left');

/**
 * Reads the whole body, at most `maxBytes` of it: a declared length is judged before anything is read, an undeclared one
 * while it is.
 */
export function readBody(
  authenticated: Authenticated,
  maxBytes: number,
): Promise<WithBody | Refusal | typeof CALLER_LEFT> {
  const { request, response, timing } = authenticated;
  return new Promise((resolve) => {
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) {
      resolve(refuse('body_too_large'));
      return;
    }
    timing.waitFor('receive');
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) {
        chunks.push(chunk);
        return;
      }
      // Nothing more is taken; the rest stays in the socket until the refusal closes it.
      request.pause();
      chunks.length = 0;
      resolve(refuse('body_too_large'));
    });
    request.on('end', () => {
      timing.waitOver();
      const [first] = chunks;
      const body = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
      resolve({ ...authenticated, body });
    });
    request.on('close', () => {
      resolve(CALLER_LEFT);
    });
    // Only now may a caller that waits for leave (RFC 9110, 10.1.1) send: it is known, and its length is allowed.
    if (request.headers.expect !== undefined && request.httpVersion === '1.1') response.writeContinue();
  });
}
