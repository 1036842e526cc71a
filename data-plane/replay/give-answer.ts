import type { Logger } from 'pino';
import type { Admitted } from '../admit/admit.js';
import type { DataPlaneEnvironment } from '../environment.js';
import type { RepeatMeter, RepeatMeterOptions } from '../meter/repeat-meter.js';
import type { Snapshot } from '../snapshot.js';
import type { AnswerStore } from './answer-store.js';
import type { KeptAnswer } from './kept-answer.js';

export type ReplayEnvironment = Pick<
  DataPlaneEnvironment,
  'REDIS_URL' | 'IDEMPOTENCY_WINDOW_MS' | 'REPLAY_MAX_ANSWER_BYTES' | 'REPLAY_MAX_BYTES'
>;

export interface ReplayOptions extends RepeatMeterOptions {
  readonly environment: ReplayEnvironment;
  readonly snapshot: Snapshot;
  readonly isDraining: () => boolean;
  readonly logger: Logger;
}

/** What those need who give answers again. */
export interface ReplayTools extends ReplayOptions {
  readonly store: AnswerStore;
  readonly meter: RepeatMeter;
}

/** Answered already, or there is nobody to answer. */
export const ANSWERED = Symbol('answered');

/** Gives the caller an answer that is there. @param more headers that go with it, names and values in turn */
export function giveAnswer(
  { response, timing }: Pick<Admitted, 'response' | 'timing'>,
  { status, headers, body }: Pick<KeptAnswer, 'status' | 'headers' | 'body'>,
  more: readonly string[],
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, [...headers, 'server-timing', timing.serverTiming(), ...more]);
  response.end(body);
}

export const GONE = Symbol('the caller is gone');

/** What is waited for, or that the caller has left meanwhile. */
export async function orGone<Value>(
  value: Promise<Value>,
  { request: { socket }, timing }: Pick<Admitted, 'request' | 'timing'>,
): Promise<Value | typeof GONE> {
  if (socket.destroyed) return GONE;
  const { promise: gone, resolve } = Promise.withResolvers<typeof GONE>();
  const onClose = (): void => {
    resolve(GONE);
  };
  socket.once('close', onClose);
  // Another call's provider is waited for.
  timing.waitFor('upstream');
  try {
    return await Promise.race([value, gone]);
  } finally {
    timing.waitOver();
    socket.removeListener('close', onClose);
  }
}
