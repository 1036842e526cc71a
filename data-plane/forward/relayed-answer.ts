import { parseJson } from '@pingtoken/shared/wire';
import { isErrorReport } from '../dialects/error-report.js';
import { readServiceTier } from '../dialects/service-tier.js';
import type { CallerResponse } from '../http-error.js';
import { BodyUsage } from '../meter/body-usage.js';
import type { AttemptMeter } from '../meter/attempt-meter.js';
import { StreamUsage } from '../meter/stream-usage.js';
import { usageReaderOf, type UsageReader } from '../meter/usage-reader.js';
import { answerHeaders, contentLength } from './answer-headers.js';
import { failUnusable, type Answer, type AnswerHead, type Recipient } from './answer.js';
import { cleanErrorData } from './clean-error.js';

function headOf({ routed }: AttemptMeter, { headers }: AnswerHead): string[] {
  const kind = routed.task.kind === 'metered' ? 'metered' : 'passthrough';
  const lines = answerHeaders(headers, kind);
  lines.push('x-request-id', routed.requestId);
  return lines;
}

/** An answer of one body that goes on as it comes. */
export class RelayedBody implements Answer {
  readonly beforeErrorEvent = undefined;
  /** Bytes that it is to have, where it says so. */
  readonly #length: number | undefined;
  readonly #reader: UsageReader | undefined;
  readonly #usage: BodyUsage | undefined;
  /** An answer of one piece goes out in one write, when it is whole. */
  #piece: Buffer | undefined;

  constructor(
    private readonly recipient: Recipient,
    private readonly head: AnswerHead,
  ) {
    const { meter } = recipient;
    this.#length = contentLength(head.headers);
    this.#reader = usageReaderOf(meter.routed);
    if (this.#reader === undefined) meter.usageReported(meter.routed.assumedUsage);
    else if (this.#reader.readsBody(head.headers['content-type'])) this.#usage = new BodyUsage(this.#reader.members);
    const lines = headOf(meter, head);
    if (this.#length !== undefined) lines.push('content-length', String(this.#length));
    recipient.begin(head.status, lines);
  }

  push(chunk: Buffer): void {
    this.#usage?.push(chunk);
    if (chunk.length === this.#length) {
      this.#piece = chunk;
      return;
    }
    this.recipient.meter.passedOn(chunk);
    this.recipient.write(chunk);
  }

  end(): void {
    this.#report();
    if (this.#piece !== undefined) this.recipient.meter.passedOn(this.#piece);
    const { response } = this.recipient.meter.routed;
    this.recipient.finish('completed', this.head.status, () => {
      endWith(response, this.#piece);
    });
  }

  giveUp(): void {
    this.#report();
  }

  #report(): void {
    if (this.#reader === undefined) return;
    const { meter } = this.recipient;
    const body = this.#usage?.result() ?? {};
    meter.usageReported(this.#reader.readBody(body));
    meter.serviceTierReported(readServiceTier(body));
    if (isErrorReport(body)) meter.nothingDelivered();
  }
}

/** Up to here Node writes a text from its stack; longer answers are better left as they came. */
const MAX_TEXT_BYTES = 12 * 1024;

/**
 * A short answer goes out as a text of the same bytes: Node joins it to the head and makes one plain write of both, where a
 * buffer makes it a gathering write, which costs several microseconds more.
 */
function endWith(response: CallerResponse, piece: Buffer | undefined): void {
  if (piece === undefined || piece.length > MAX_TEXT_BYTES) response.end(piece);
  else response.end(piece.toString('latin1'), 'latin1');
}

/** An answer of events that go on as they come. */
export class RelayedStream implements Answer {
  readonly #tap: StreamUsage;
  /** What the provider said last of an error. */
  #errorData = '';

  constructor(
    private readonly recipient: Recipient,
    private readonly head: AnswerHead,
  ) {
    const { meter } = recipient;
    this.#tap = tapStream(meter, usageReaderOf(meter.routed), (data) => {
      this.#errorData = data;
    });
    recipient.beginStream(head.status, headOf(meter, head));
  }

  get beforeErrorEvent(): string {
    return this.#tap.isInsidePassedEvent ? '\n\n' : '';
  }

  push(chunk: Buffer): void {
    const bytes = this.#tap.push(chunk);
    if (this.#tap.sawError) {
      this.recipient.meter.nothingDelivered();
      this.recipient.erred(this.#errorData, () => {
        if (bytes.length > 0) this.recipient.write(bytes);
      });
      return;
    }
    if (bytes.length === 0) return;
    this.recipient.meter.passedOn(bytes);
    this.recipient.write(bytes);
  }

  end(): void {
    const { meter } = this.recipient;
    const { response } = meter.routed;
    const last = this.#tap.end();
    if (last.length > 0) meter.passedOn(last);
    else if (this.recipient.isHeld && !this.#tap.sawError) {
      failUnusable(this.recipient, 'the stream ended before it said anything');
      return;
    }
    this.recipient.finish(this.#tap.sawError ? 'provider-failed' : 'completed', this.head.status, () => {
      response.end(last);
    });
  }

  giveUp(): void {
    // What was reported was reported as it passed.
  }
}

function tapStream(meter: AttemptMeter, reader: UsageReader | undefined, onError: (data: string) => void): StreamUsage {
  const { task } = meter.routed;
  const cleanError = (data: string): string => {
    onError(data);
    return cleanErrorData(data, meter.attempt.secret);
  };
  if (reader === undefined || task.kind === 'passthrough') {
    meter.usageReported(meter.routed.assumedUsage);
    return new StreamUsage({ ...PASSED_THROUGH, cleanError });
  }
  const { dialect, streamed } = task.request;
  const stream = reader.readStream();
  return new StreamUsage({
    // OpenAI's callers who did not ask for the usage do not expect the chunk that we asked for.
    hides: dialect === 'openai' && streamed && !task.request.asksForUsage,
    usageMark: reader.eventMark,
    maxEventBytes: reader.maxEventBytes,
    onData: (data) => {
      meter.usageReported(stream.push({ event: undefined, data }), stream.countsPromptOnly);
    },
    tierMark: reader.tierMark,
    onTier: (data) => {
      const tier = readServiceTier(parseOrNothing(data));
      meter.serviceTierReported(tier);
      return tier !== undefined;
    },
    cleanError,
  });
}

/** What it says of tokens is not asked for. */
const PASSED_THROUGH = {
  hides: false,
  usageMark: '"usage"',
  onData: () => undefined,
  tierMark: '"service_tier"',
  onTier: () => true,
};

function parseOrNothing(data: string): unknown {
  try {
    return parseJson(data);
  } catch {
    return undefined;
  }
}
