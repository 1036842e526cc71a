import type { IncomingMessage } from 'node:http';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import type { CallTiming } from './call-timing.js';
import { CHAT_DIALECTS } from './dialects/chat/chat-dialects.js';

/** A stage's expected "no". What went wrong unexpectedly is thrown instead. */
export interface Refusal {
  readonly refused: ErrorCode;
  /** The field of the request at fault, or null. */
  readonly param: string | null;
  /**
   * Instead of the table's sentence. Never holds a secret, nor anything that came from a provider or a caller; what a route's
   * guardrail has to say does stand here.
   */
  readonly message: string | undefined;
  /** A flat list of what goes with the answer: when to come again. */
  readonly headers?: readonly string[];
}

export function refuse(code: ErrorCode, param: string | null = null, message?: string): Refusal {
  return { refused: code, param, message };
}

export function isRefusal(value: object): value is Refusal {
  return 'refused' in value;
}

/** The one mapper from a code to the caller's dialect: the official clients make their typed errors from it. */
function errorBody(dialect: Dialect, { refused, param, message }: Refusal): string {
  const { status, message: standard } = ERROR_CODES[refused];
  const error = { code: refused, message: message ?? standard, status, param };
  return JSON.stringify(CHAT_DIALECTS[dialect].writeError(error));
}

/** What an answer is written to: the caller's own response, or one that also keeps what goes there. */
export interface CallerResponse {
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  readonly writableNeedDrain: boolean;
  setHeader(name: string, value: string): unknown;
  writeContinue(): void;
  /** @param headers names and values in turn */
  writeHead(status: number, headers: string[]): unknown;
  flushHeaders(): void;
  write(piece: Buffer | string, written?: () => void): boolean;
  end(rest?: Buffer | string, encoding?: BufferEncoding): unknown;
  once(event: 'drain', listener: () => void): unknown;
  destroy(): unknown;
}

export interface Answer {
  readonly request: IncomingMessage;
  readonly response: CallerResponse;
  readonly requestId: string;
  readonly timing: CallTiming;
  /** What the caller speaks. */
  readonly dialect: Dialect;
}

/** Answers with an error of our own; see {@link sendJson} for what it does to the connection. */
export function sendRefusal(answer: Answer, refusal: Refusal, extraHeaders: readonly string[] = []): void {
  const { status, retryable } = ERROR_CODES[refusal.refused];
  // The official clients retry some statuses by themselves; they believe this header over their own list.
  const headers = ['x-should-retry', String(retryable), ...(refusal.headers ?? []), ...extraHeaders];
  sendJson(answer, status, errorBody(answer.dialect, refusal), headers);
}

/**
 * Answers with JSON, if there is still somebody to answer. Where the request has a body that was not read, the connection
 * is closed afterwards: reading on would let a caller without a key make us receive whatever it likes to send.
 */
export function sendJson(answer: Answer, status: number, json: string, extraHeaders: readonly string[] = []): void {
  const { request, response, requestId, timing } = answer;
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(json);
  const headers = [
    'content-type',
    'application/json',
    'content-length',
    String(body.length),
    'x-request-id',
    requestId,
    'server-timing',
    timing.serverTiming(),
  ];
  const closes = hasUnreadBody(request);
  if (closes) {
    headers.push('connection', 'close');
    lingerOnClose(request);
  }
  response.writeHead(status, [...headers, ...extraHeaders]);
  response.end(body);
}

function hasUnreadBody({ headers, complete }: IncomingMessage): boolean {
  if (complete) return false;
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

const LINGER_MS = 500;

/**
 * Ends our half of the connection with the answer and destroys it only a moment later: closing at once while bytes of the
 * body still arrive makes the system send a reset, which can overtake the answer. See RFC 9112, 9.6.
 */
function lingerOnClose({ socket }: IncomingMessage): void {
  socket.destroySoon = () => {
    socket.end();
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  };
}
