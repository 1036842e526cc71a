import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { SignJWT } from 'jose';
import { Agent, request, type Dispatcher } from 'undici';
import { LEASE_LINK, leaseAnswersSchema } from '@pingtoken/shared/lease';
import type { LeaseAnswer, LeaseFences, LeaseRequest } from '@pingtoken/shared/lease';
import { SHARE_LINK, shareAnswerSchema, type ShareAnswer, type ShareRequest } from '@pingtoken/shared/rate-share';
import { CONFIG_LINK, parseJson } from '@pingtoken/shared/wire';
import type { ConfigAck } from '@pingtoken/shared/config-snapshot';
import type { HealthReport } from '@pingtoken/shared/health-report';
import type { Identity } from '../identity.js';
import type { Standpoint } from './verify.js';

/** The requests of the config link and of the allocator, each with a token of its own. All throw when the answer is not a 2xx. */
export interface ControlPlaneClient {
  /** Tells where we stand and opens the stream of events. */
  openStream(standpoint: Standpoint | undefined, signal: AbortSignal): Promise<Readable>;
  /** Writes a snapshot to a file, mode 0600, not verified. */
  downloadSnapshot(path: string, signal: AbortSignal): Promise<void>;
  sendAck(ack: ConfigAck, signal: AbortSignal): Promise<void>;
  sendHealth(report: HealthReport, signal: AbortSignal): Promise<void>;
  requestLeases(requests: readonly LeaseRequest[], signal: AbortSignal): Promise<readonly LeaseAnswer[]>;
  exchangeShares(shares: ShareRequest, signal: AbortSignal): Promise<ShareAnswer>;
  sendFences(fences: LeaseFences, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface ControlPlaneClientOptions {
  readonly controlPlaneUrl: string;
  readonly identity: Identity;
}

/** RFC 7523: a short life, so that a token seen in some proxy's log is of no use. */
const TOKEN_LIFE = '60s';
/** A clock that is ahead must not make tokens that are refused as being of the future. */
const CLOCK_SKEW = '30s';
const TIMEOUT = { connectMs: 5_000, headersMs: 10_000, bodyMs: 30_000 };

export function createControlPlaneClient({ controlPlaneUrl, identity }: ControlPlaneClientOptions): ControlPlaneClient {
  const dispatcher = new Agent({ connect: { timeout: TIMEOUT.connectMs }, headersTimeout: TIMEOUT.headersMs });
  const baseUrl = controlPlaneUrl.replace(/\/+$/, '');

  async function call(
    path: string,
    options: Pick<Dispatcher.RequestOptions, 'method' | 'bodyTimeout'> & {
      readonly headers: Record<string, string>;
      readonly signal: AbortSignal;
      readonly body?: string;
    },
  ): Promise<Readable> {
    const headers = { ...options.headers, authorization: `Bearer ${await createToken(identity)}` };
    const { statusCode, body } = await request(`${baseUrl}${path}`, { ...options, dispatcher, headers });
    if (statusCode >= 200 && statusCode < 300) return body;
    await body.dump({ limit: 64 * 1024 });
    throw new Error(`the control plane answered ${statusCode} to ${options.method} ${path}`);
  }

  const post = (path: string, body: unknown, signal: AbortSignal): Promise<Readable> =>
    call(path, {
      method: 'POST',
      signal,
      bodyTimeout: TIMEOUT.bodyMs,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  return {
    openStream: (standpoint, signal) =>
      call(CONFIG_LINK.stream, {
        method: 'GET',
        signal,
        // Silence is judged by the reader of the stream, who knows what counts as a sign of life.
        bodyTimeout: 0,
        headers: { accept: 'text/event-stream', ...standpointHeaders(standpoint) },
      }),
    downloadSnapshot: async (path, signal) => {
      const accept = 'application/x-ndjson';
      const body = await call(CONFIG_LINK.snapshot, {
        method: 'GET',
        signal,
        bodyTimeout: TIMEOUT.bodyMs,
        headers: { accept },
      });
      await rm(path, { force: true });
      await pipeline(body, createWriteStream(path, { mode: 0o600 }), { signal });
    },
    sendAck: async (ack, signal) => {
      (await post(CONFIG_LINK.ack, ack, signal)).resume();
    },
    sendHealth: async (report, signal) => {
      (await post(CONFIG_LINK.health, report, signal)).resume();
    },
    requestLeases: async (requests, signal) => {
      const body = await post(LEASE_LINK.requests, { requests }, signal);
      return leaseAnswersSchema.parse(parseJson(await text(body))).answers;
    },
    exchangeShares: async (shares, signal) => {
      const body = await post(SHARE_LINK, shares, signal);
      return shareAnswerSchema.parse(parseJson(await text(body)));
    },
    sendFences: async (fences, signal) => {
      (await post(LEASE_LINK.fences, fences, signal)).resume();
    },
    close: () => dispatcher.destroy(),
  };
}

function standpointHeaders(standpoint: Standpoint | undefined): Record<string, string> {
  if (standpoint === undefined) return {};
  const { position, chain } = standpoint;
  return { 'last-event-id': `${position.epoch}.${position.seq}`, 'x-config-chain': chain };
}

function createToken({ id, signingKey }: Identity): Promise<string> {
  return new SignJWT()
    .setProtectedHeader({ alg: 'EdDSA' })
    .setIssuer(id)
    .setSubject(id)
    .setAudience(CONFIG_LINK.audience)
    .setIssuedAt(`${CLOCK_SKEW} ago`)
    .setExpirationTime(TOKEN_LIFE)
    .sign(signingKey);
}
