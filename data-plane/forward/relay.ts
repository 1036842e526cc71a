import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import { CHAT_DIALECTS } from '../dialects/chat/chat-dialects.js';
import { refuse, sendJson, sendRefusal } from '../http-error.js';
import { BodyUsage } from '../meter/body-usage.js';
import type { MeteredCall } from '../meter/meter.js';
import { StreamUsage } from '../meter/stream-usage.js';
import { usageReaderOf, type UsageReader } from '../meter/usage-reader.js';
import { isError } from '../dialects/operations/report.js';
import { answerHeaders, contentLength } from './answer-headers.js';
import type { Listed, OpenCalls } from './open-calls.js';
import { convertProviderError } from './provider-error.js';
import { AnswerTranslator, StreamTranslator } from './translate-answer.js';

/** Where an answer comes from, whichever client brings it. */
export interface UpstreamSource {
  pause(): void;
  resume(): void;
  /** Ends the exchange with the provider at once. */
  abort(): void;
}

export interface RelayOptions {
  readonly call: MeteredCall;
  /** Those on their way, this one among them until it is over. */
  readonly openCalls: OpenCalls<Relay>;
  /** How long the caller may leave us standing with what it does not take. */
  readonly idleTimeoutMs: number;
  readonly logger: Logger;
}

const EVENT_STREAM = /^text\/event-stream\s*(?:;|$)/i;
const MAX_ERROR_BYTES = 64 * 1024;

/**
 * Brings one answer from provider to caller: the same for every client that fetches it. A source reports `head`, `data` and
 * `end`, or `fail`, and is told to pause, to go on, or to stop.
 */
export class Relay implements Listed {
  readonly call: MeteredCall;
  place = -1;
  readonly #options: RelayOptions;
  #source: UpstreamSource | undefined;
  #isOver = false;
  /** What the caller was given; null until its head is out. */
  #status: number | null = null;
  #answerStatus = 0;
  #answerHead: IncomingHttpHeaders = {};
  /** An answer of one piece goes out in one write, when it is whole. */
  #piece: Buffer | undefined;
  /** Bytes that the answer is to have, where it says so. */
  #length: number | undefined;
  #errorBody: Buffer[] | undefined;
  #errorBytes = 0;
  #stream: StreamUsage | undefined;
  #body: BodyUsage | undefined;
  /** How the two above are read; undefined for a call that is passed through. */
  #reader: UsageReader | undefined;
  /** Where caller and provider speak differently, one of these takes the place of the two above. */
  #translatedStream: StreamTranslator | undefined;
  #translatedBody: AnswerTranslator | undefined;
  #slowCaller: NodeJS.Timeout | undefined;
  readonly #onCallerClose = (): void => {
    this.#callerLeft();
  };

  constructor(options: RelayOptions) {
    this.#options = options;
    this.call = options.call;
    options.openCalls.add(this);
    // The socket, not the response: a response that waits behind another one on its connection hears nothing of it.
    const { socket } = this.call.routed.request;
    socket.on('close', this.#onCallerClose);
    if (socket.destroyed) this.#callerLeft();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  attach(source: UpstreamSource): void {
    this.#source = source;
    if (this.#isOver) source.abort();
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    if (this.#isOver) return;
    const isStream = EVENT_STREAM.test(headers['content-type'] ?? '');
    this.call.providerAnswered(status, isStream);
    this.#answerStatus = status;
    this.#answerHead = headers;
    if (status >= 400) this.#errorBody = [];
    else if (status < 200 || status >= 300) {
      // A redirect is never followed: it could lead our credential, and the tenant's text, to another host.
      this.fail('upstream_failed', 'provider-failed', `the provider answered with status ${status}`);
    } else this.#begin(status, headers, isStream);
  }

  data(chunk: Buffer): void {
    if (this.#isOver) return;
    this.call.firstByteCame();
    if (this.#errorBody !== undefined) {
      this.#collectError(chunk);
      return;
    }
    if (this.#translatedBody !== undefined || this.#translatedStream !== undefined) {
      this.#translate(chunk);
      return;
    }
    this.#body?.push(chunk);
    if (chunk.length === this.#length) {
      this.#piece = chunk;
      return;
    }
    const bytes = this.#stream === undefined ? chunk : this.#stream.push(chunk);
    if (bytes.length > 0 && !this.call.routed.response.write(bytes)) this.#waitForCaller();
  }

  end(): void {
    if (this.#isOver) return;
    if (this.#errorBody !== undefined) {
      this.#answerProviderError(Buffer.concat(this.#errorBody));
      return;
    }
    if (this.#translatedBody !== undefined) {
      this.#answerTranslated(this.#translatedBody);
      return;
    }
    if (this.#translatedStream !== undefined) {
      this.#endTranslated(this.#translatedStream);
      return;
    }
    const { response } = this.call.routed;
    this.#reportBodyUsage();
    const last = this.#stream?.end() ?? this.#piece;
    // Settled before the last byte goes out: who has the whole answer finds it in the books.
    this.#finish(this.#stream?.sawError === true ? 'provider-failed' : 'completed', this.#status, () => {
      endWith(response, last);
    });
  }

  /**
   * Ends the call as failed. Before the head is out the caller gets the error; inside a stream it gets an error event; and
   * in either case the connection is cut where an answer had begun, for a clean end would say that it was whole.
   */
  fail(code: ErrorCode, outcome: Outcome, reason: string): void {
    if (this.#isOver) return;
    const { requestId, response, attempts } = this.call.routed;
    const provider = attempts[0].provider.slug;
    this.#options.logger.warn({ requestId, provider, code, outcome, reason }, 'call-failed');
    if (this.#status === null) {
      this.#finish(outcome, ERROR_CODES[code].status, () => {
        sendRefusal(this.call.routed, refuse(code));
      });
    } else {
      const cut = (): void => {
        response.destroy();
      };
      const event = this.#errorEvent(code);
      this.#finish(outcome, this.#status, () => {
        if (event === undefined) cut();
        else response.write(event, cut);
      });
    }
    this.#source?.abort();
  }

  #begin(status: number, headers: IncomingHttpHeaders, isStream: boolean): void {
    const { task, requestId, response } = this.call.routed;
    const encoding = headers['content-encoding'] ?? 'identity';
    if (task.kind === 'metered' && encoding !== 'identity') {
      // Asked for plain bytes. Compressed ones cannot be metered, and what cannot be metered is not relayed.
      this.fail('upstream_failed', 'provider-failed', 'the provider compressed its answer');
      return;
    }
    const out = [
      'x-request-id',
      requestId,
      ...answerHeaders(headers, task.kind === 'metered' ? 'metered' : 'passthrough'),
    ];
    if (this.#beginTranslated(status, out, isStream)) return;
    this.#reader = usageReaderOf(this.call.routed);
    this.#length = isStream ? undefined : contentLength(headers);
    if (this.#length !== undefined) out.push('content-length', String(this.#length));
    response.writeHead(status, out);
    this.#status = status;
    if (task.kind === 'passthrough') this.call.usageReported({ request: 1 });
    if (isStream) {
      this.#stream = this.#tapStream();
      response.flushHeaders();
    } else if (this.#reader?.readsBody(headers['content-type']) === true) {
      this.#body = new BodyUsage(this.#reader.members);
    }
  }

  /** A whole answer's head waits for its body, whose length is known only when it is translated. */
  #beginTranslated(status: number, head: string[], isStream: boolean): boolean {
    const { outgoing, model, response } = this.call.routed;
    if (outgoing?.translation === undefined) return false;
    if (!isStream) {
      this.#translatedBody = new AnswerTranslator(outgoing.translation, model);
      return true;
    }
    if ('convertAnswer' in outgoing.translation) {
      this.fail('upstream_failed', 'provider-failed', 'the provider streams what is never streamed');
      return true;
    }
    response.writeHead(status, head);
    this.#status = status;
    this.#translatedStream = new StreamTranslator(outgoing.translation, {
      model,
      onUsage: (usage) => {
        this.call.usageReported(usage);
      },
    });
    response.flushHeaders();
    return true;
  }

  #translate(chunk: Buffer): void {
    if (this.#translatedStream === undefined) {
      if (this.#translatedBody?.push(chunk) === false) {
        this.fail('upstream_failed', 'provider-failed', 'the answer is too long to be translated');
      }
      return;
    }
    try {
      const text = this.#translatedStream.push(chunk);
      if (text !== '' && !this.call.routed.response.write(text)) this.#waitForCaller();
    } catch (error) {
      this.fail('upstream_failed', 'provider-failed', `the stream cannot be translated: ${String(error)}`);
    }
  }

  #answerTranslated(translator: AnswerTranslator): void {
    const answer = translator.end();
    if (answer === undefined) {
      this.fail('upstream_failed', 'provider-failed', 'the answer is not one of the provider’s dialect');
      return;
    }
    this.call.usageReported(answer.usage);
    const head = answerHeaders({ ...this.#answerHead, 'content-type': undefined }, 'metered');
    this.#finish('completed', this.#answerStatus, () => {
      sendJson(this.call.routed, this.#answerStatus, answer.json, head);
    });
  }

  #endTranslated(translator: StreamTranslator): void {
    const last = translator.end();
    if (last === undefined) {
      this.fail('upstream_failed', 'provider-failed', 'the provider broke off its stream');
      return;
    }
    const { response } = this.call.routed;
    this.#finish(translator.sawError ? 'provider-failed' : 'completed', this.#status, () => {
      response.end(last);
    });
  }

  #reportBodyUsage(): void {
    const { assumedUsage } = this.call.routed;
    if (this.#translatedBody !== undefined) this.call.usageReported(this.#translatedBody.usage());
    if (this.#reader === undefined) return;
    const body = this.#body?.result() ?? {};
    this.call.usageReported(this.#reader.readBody(body));
    if (this.#stream?.sawError !== true && !isError(body)) this.call.usageAssumed(assumedUsage);
  }

  /** An error inside a stream, in the caller's dialect; undefined where there is no stream of ours to say it in. */
  #errorEvent(code: ErrorCode): string | undefined {
    const isStream = this.#stream !== undefined || this.#translatedStream !== undefined;
    if (!isStream) return undefined;
    const { dialect, model } = this.call.routed;
    const writer = CHAT_DIALECTS[dialect].createStreamWriter({ model, wantsUsage: false });
    const event = writer.push({ kind: 'error', error: { code, message: ERROR_CODES[code].message } });
    return `${this.#stream?.isInsidePassedEvent === true ? '\n\n' : ''}${event}`;
  }

  #tapStream(): StreamUsage {
    const { task } = this.call.routed;
    // What is passed through costs its request, whatever it says of tokens.
    if (task.kind === 'passthrough' || this.#reader === undefined) {
      return new StreamUsage({ hides: false, usageMark: '"usage"', onData: () => undefined });
    }
    const { request } = task;
    const reader = this.#reader.readStream();
    return new StreamUsage({
      hides: request.dialect === 'openai' && request.streamed && !request.asksForUsage,
      usageMark: this.#reader.eventMark,
      maxEventBytes: this.#reader.maxEventBytes,
      onData: (data) => {
        this.call.usageReported(reader.push({ event: undefined, data }));
      },
    });
  }

  /** Backpressure: a caller that does not read makes the provider wait, not our memory grow. */
  #waitForCaller(): void {
    if (this.#slowCaller !== undefined) return;
    const { response, request } = this.call.routed;
    this.#source?.pause();
    this.#slowCaller = setTimeout(() => {
      request.socket.destroy();
    }, this.#options.idleTimeoutMs);
    response.once('drain', () => {
      clearTimeout(this.#slowCaller);
      this.#slowCaller = undefined;
      if (!this.#isOver) this.#source?.resume();
    });
  }

  #callerLeft(): void {
    if (this.#isOver) return;
    // What came whole before the caller went is known to us, though nobody is there to take it.
    this.#reportBodyUsage();
    this.#finish('caller-left', this.#status, () => undefined);
    this.#source?.abort();
  }

  #collectError(chunk: Buffer): void {
    this.#errorBytes += chunk.length;
    if (this.#errorBytes <= MAX_ERROR_BYTES) {
      this.#errorBody?.push(chunk);
      return;
    }
    this.#answerProviderError(Buffer.alloc(0));
    this.#source?.abort();
  }

  #answerProviderError(body: Buffer): void {
    const { attempts, dialect } = this.call.routed;
    const status = this.#answerStatus;
    const outcome = status >= 500 ? 'provider-failed' : 'provider-refused';
    if (OUR_OWN_FAULTS.has(status)) {
      this.fail('upstream_failed', outcome, `the provider answered with status ${status}`);
      return;
    }
    const [{ secret, provider }] = attempts;
    const error = convertProviderError({ status, body, secret, dialect: provider.dialect }, dialect);
    const { retryAfter } = error;
    const said = { ...(retryAfter !== undefined && { 'retry-after': retryAfter }), ...this.#answerHead };
    const head = answerHeaders({ ...said, 'content-type': undefined }, 'metered');
    this.#finish(outcome, error.status, () => {
      sendJson(this.call.routed, error.status, error.json, head);
    });
  }

  /** @param answer what the caller is given when the end of its call is in the books */
  #finish(outcome: Outcome, status: number | null, answer: () => void): void {
    this.#isOver = true;
    clearTimeout(this.#slowCaller);
    this.#options.openCalls.delete(this);
    this.call.routed.request.socket.removeListener('close', this.#onCallerClose);
    void this.call.settle(outcome, status).then(answer);
  }
}

/** Refusals that are about our account with the provider. Passed on, they would tell the caller that its key is wrong. */
const OUR_OWN_FAULTS: ReadonlySet<number> = new Set([401, 402, 403, 407]);

/** Up to here Node writes a text from its stack; longer answers are better left as they came. */
const MAX_TEXT_BYTES = 12 * 1024;

/**
 * A short answer goes out as a text of the same bytes: Node joins it to the head and makes one plain write of both, where a
 * buffer makes it a gathering write, which costs several microseconds more.
 */
function endWith(response: ServerResponse, piece: Buffer | undefined): void {
  if (piece === undefined || piece.length > MAX_TEXT_BYTES) response.end(piece);
  else response.end(piece.toString('latin1'), 'latin1');
}
