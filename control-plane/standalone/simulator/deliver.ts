import type { ServerResponse } from 'node:http';
import type { Decision } from './decision.js';
import type { Faults } from './directives.js';
import type { Chunk, EventPayload, WholePayload } from './payload.js';
import { createPieceWriter, flushed, pause, type PieceWriter } from './piece-writer.js';

/** What has been handed over of an answer so far, for the books. */
export interface Progress {
  chunksSent: number;
  completionTokens: number;
  toldUsage: boolean;
  /** Set before the simulator itself cuts the answer off. */
  cutBy: 'died' | 'error' | undefined;
}

/** Sends an answer with its faults, and notes in `progress` what was handed over. Returns early if the caller hangs up. */
export async function deliver(
  response: ServerResponse,
  requestId: string,
  decision: Decision,
  progress: Progress,
): Promise<void> {
  const { faults, payload, status } = decision;
  if (faults.delay) await pause(response, faults.delay);
  if (response.destroyed) return;
  if (faults.reset) {
    progress.cutBy = 'died';
    response.socket?.resetAndDestroy();
    return;
  }
  const headers: Record<string, string | number> = { 'x-request-id': requestId };
  const retryAfter = faults['retry-after'];
  if (faults.status !== undefined && retryAfter !== undefined) headers['retry-after'] = retryAfter;
  if ('body' in payload) {
    headers['content-type'] = payload.contentType;
    headers['content-length'] = Buffer.byteLength(payload.body);
  } else {
    headers['content-type'] = 'text/event-stream; charset=utf-8';
    headers['cache-control'] = 'no-cache';
  }
  response.writeHead(status, headers);
  const writer = createPieceWriter(response, faults.split);
  if ('body' in payload) await deliverWhole(response, writer, decision, payload, progress);
  else await deliverEvents(response, writer, payload, faults, progress);
}

async function deliverWhole(
  response: ServerResponse,
  writer: PieceWriter,
  { faults, tokens }: Decision,
  payload: WholePayload,
  progress: Progress,
): Promise<void> {
  if (stalls(faults)) {
    response.flushHeaders();
    await pause(response, faults.stall ?? 'forever');
    if (response.destroyed) return;
  }
  if (faults['die-after'] !== undefined) {
    await writer.write(firstHalf(payload.body));
    await die(response, writer, progress);
    return;
  }
  progress.completionTokens = tokens.completion;
  progress.toldUsage = payload.tellsUsage;
  if (faults.split === undefined) {
    response.end(payload.body);
    return;
  }
  await writer.write(payload.body);
  await writer.flush();
  response.end();
}

function firstHalf(body: string | Buffer): string | Buffer {
  const half = body.length / 2;
  return typeof body === 'string' ? body.slice(0, half) : body.subarray(0, half);
}

async function deliverEvents(
  response: ServerResponse,
  writer: PieceWriter,
  payload: EventPayload,
  faults: Faults,
  progress: Progress,
): Promise<void> {
  const line = faults.crlf ? '\r\n' : '\n';
  const before = faults.comments ? `: ping${line}${line}` : '';
  const eventful = stalls(faults) || ['chunk-delay', 'die-after', 'error-in-stream'].some((name) => name in faults);
  for (const chunk of payload.events) {
    const { tokens, tellsUsage } = chunk;
    if (eventful && !(await mayGoOn(response, writer, { faults, progress, payload }))) return;
    const pending = writer.write(before + eventText(chunk, line));
    progress.chunksSent += 1;
    progress.completionTokens += tokens;
    progress.toldUsage ||= tellsUsage;
    // Without back-pressure nothing is awaited: one turn of the loop writes a whole answer, event by event.
    if (pending) await pending;
    if (response.destroyed) return;
  }
  if (eventful && !(await mayGoOn(response, writer, { faults, progress, payload }))) return;
  if (payload.terminator !== undefined) await writer.write(`${before}data: ${payload.terminator}${line}${line}`);
  await writer.flush();
  response.end();
}

function eventText({ event, json }: Pick<Chunk, 'event' | 'json'>, line: string): string {
  return event === undefined ? `data: ${json}${line}${line}` : `event: ${event}${line}data: ${json}${line}${line}`;
}

/** Does what the faults ask for between the events that were sent and the next; false if there is to be no next. */
async function mayGoOn(
  response: ServerResponse,
  writer: PieceWriter,
  { faults, progress, payload }: { faults: Faults; progress: Progress; payload: EventPayload },
): Promise<boolean> {
  const sent = progress.chunksSent;
  if (sent === faults['die-after']) {
    await die(response, writer, progress);
    return false;
  }
  if (sent === faults['error-in-stream']) {
    progress.cutBy = 'error';
    await writer.write(eventText(payload.failure, faults.crlf ? '\r\n' : '\n'));
    await writer.flush();
    response.end();
    return false;
  }
  const wait = stalls(faults) && sent === (faults['stall-after'] ?? 0) ? (faults.stall ?? 'forever') : 0;
  const delay = sent > 0 ? (faults['chunk-delay'] ?? 0) : 0;
  if (wait === 0 && delay === 0) return true;
  await writer.flush();
  response.flushHeaders();
  if (delay > 0) await pause(response, delay);
  if (wait !== 0) await pause(response, wait);
  return !response.destroyed;
}

function stalls(faults: Faults): boolean {
  return faults.stall !== undefined || faults['stall-after'] !== undefined;
}

/** Destroys the socket once everything before it has left, so that the caller sees exactly that much. */
async function die(response: ServerResponse, writer: PieceWriter, progress: Progress): Promise<void> {
  await writer.flush();
  response.flushHeaders();
  await flushed(response);
  if (response.destroyed) return;
  progress.cutBy = 'died';
  response.socket?.destroy();
}
