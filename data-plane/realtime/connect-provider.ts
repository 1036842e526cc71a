import type { ClientRequest, IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import { answerHeaders } from '../forward/answer-headers.js';
import { failureReason } from '../forward/json-call.js';
import { convertProviderError, OUR_OWN_FAULTS } from '../forward/provider-error.js';
import type { UpstreamAgents } from '../forward/upstream-address.js';
import { addressOf, credentialHeader, USER_AGENT } from '../provider-address.js';
import { classifyAnswer, type Failure } from '../route/failure.js';
import type { PlannedAttempt } from '../route/route.js';

export interface ConnectOptions {
  readonly agents: UpstreamAgents;
  /** Until the connection stands. */
  readonly connectTimeoutMs: number;
  /** From then until the provider has agreed to a session. */
  readonly answerTimeoutMs: number;
  readonly maxMessageBytes: number;
}

export interface SessionTarget {
  readonly attempt: PlannedAttempt;
  readonly requestId: string;
  readonly isPreview: boolean;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/** What came of it. A socket is open and paused: nothing that it brings is lost before somebody listens. */
export type Connected =
  { readonly kind: 'open'; readonly socket: WebSocket } | Unconnected | { readonly kind: 'aborted' };

/** No session came of it: what the caller is told where no other provider agrees to one, and whose fault it was. */
export type Unconnected = (
  | { readonly kind: 'refused'; readonly status: number; readonly json: string; readonly headers: readonly string[] }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly outcome: Outcome; readonly reason: string }
) & { readonly failure: Failure };

/** Nothing came in time. */
export function tooLate(withinMs: number): Unconnected {
  const failure: Failure = { kind: 'timed-out', status: null, retryAfterMs: undefined };
  const reason = `no session within ${withinMs} ms`;
  return { kind: 'failed', code: 'upstream_timeout', outcome: 'timed-out', reason, failure };
}

/**
 * Opens a session with the provider. It is told what any call tells it: our credential, our name and the call's id; nothing
 * of the caller. Redirects are not followed and compression is not offered.
 */
export function connectProvider(target: SessionTarget, options: ConnectOptions): Promise<Connected> {
  const { attempt, signal } = target;
  const { origin, basePath } = addressOf(attempt.provider);
  const isSecure = origin.startsWith('https:');
  const address = new URL(`${origin.replace(/^http/, 'ws')}${basePath}/realtime`);
  address.searchParams.set('model', attempt.upstreamModel);
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const expect = (withinMs: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        finish(tooLate(withinMs));
      }, withinMs);
    };
    const socket = new WebSocket(address, {
      agent: isSecure ? options.agents.https : options.agents.http,
      headers: requestHeaders(target),
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: options.maxMessageBytes,
      finishRequest: (request: ClientRequest) => {
        request.once('socket', (connection) => {
          connection.once(isSecure ? 'secureConnect' : 'connect', () => {
            expect(options.answerTimeoutMs);
          });
        });
        request.end();
      },
    });
    let isOver = false;
    const finish = (connected: Connected): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      if (connected.kind !== 'open') socket.terminate();
      resolve(connected);
    };
    const onAbort = (): void => {
      finish({ kind: 'aborted' });
    };
    expect(options.connectTimeoutMs);
    signal.addEventListener('abort', onAbort);
    socket.once('open', () => {
      socket.pause();
      finish({ kind: 'open', socket });
    });
    socket.once('unexpected-response', (_request, answer) => {
      expect(options.answerTimeoutMs);
      void readRefusal(answer, attempt.secret).then(finish);
    });
    // It stays for good: an error that nobody listens for would end the process.
    socket.on('error', (error) => {
      const failure: Failure = { kind: 'unreachable', status: null, retryAfterMs: undefined };
      const reason = failureReason(error);
      finish({ kind: 'failed', code: 'upstream_failed', outcome: 'provider-failed', reason, failure });
    });
    if (signal.aborted) onAbort();
  });
}

function requestHeaders({ attempt, requestId, isPreview }: SessionTarget): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': USER_AGENT, 'x-request-id': requestId };
  const [name, credential] = credentialHeader(attempt.provider.auth, attempt.secret);
  if (name !== undefined && credential !== undefined) headers[name] = credential;
  if (isPreview) headers['openai-beta'] = 'realtime=v1';
  return headers;
}

const MAX_ERROR_BYTES = 64 * 1024;

/** The provider answered like to any other call. What has no place in an answer to a caller is said to be its failure. */
async function readRefusal(answer: IncomingMessage, secret: string): Promise<Unconnected> {
  const status = answer.statusCode ?? 502;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_ERROR_BYTES) break;
      chunks.push(chunk);
    }
  } catch {
    chunks.length = 0;
  }
  const body = length > MAX_ERROR_BYTES ? Buffer.alloc(0) : Buffer.concat(chunks);
  const failure = classifyAnswer({ status, headers: answer.headers, body }, Date.now());
  const outcome = status >= 400 && status < 500 ? 'provider-refused' : 'provider-failed';
  if (status < 400 || OUR_OWN_FAULTS.has(status)) {
    const reason = `the provider answered with status ${status}`;
    return { kind: 'failed', code: 'upstream_failed', outcome, reason, failure };
  }
  const headers = answerHeaders({ ...answer.headers, 'content-type': undefined }, 'metered');
  const error = convertProviderError({ status, body, secret, dialect: 'openai' }, 'openai');
  return { kind: 'refused', status: error.status, json: error.json, headers, failure };
}
