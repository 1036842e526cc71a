import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';
import { AttemptWalk, type WalkedAttempt, type WalkTools } from '../forward/attempt-walk.js';
import type { MeteredCall } from '../meter/meter.js';
import type { PlannedAttempt } from '../route/route.js';
import {
  connectProvider,
  tooLate,
  type Connected,
  type ConnectOptions,
  type SessionTarget,
} from './connect-provider.js';

export interface FindSessionOptions {
  readonly connecting: ConnectOptions;
  readonly walking: WalkTools;
  readonly logger: Logger;
}

/** What came of it in the end, and the attempt that is the session's where there is one. */
export interface FoundSession {
  readonly connected: Connected;
  readonly walked: WalkedAttempt;
}

/**
 * Asks the providers of a call's plan for a session, one after another, until one agrees: like any other call, by the same
 * limits, and with the same consequences for what is known of its targets. Its caller still waits for the answer to its
 * upgrade, so that it hears nothing of those that failed.
 */
export async function findSession(
  call: MeteredCall,
  target: Pick<SessionTarget, 'requestId' | 'isPreview' | 'signal'>,
  { connecting, walking, logger }: FindSessionOptions,
): Promise<FoundSession> {
  const walk = new AttemptWalk(call.routed, (attempt) => attempt, walking);
  for (let place = 0; ;) {
    const { connected, walked } = await connectInTime(call.attempt, walk, (signal) =>
      connectProvider(
        { ...target, attempt: call.attempt, signal: AbortSignal.any([target.signal, signal]) },
        connecting,
      ),
    );
    if (connected.kind === 'open') return { connected, walked };
    if (connected.kind === 'aborted') {
      walked.ended({ kind: 'abandoned' });
      return { connected, walked };
    }
    const { failure } = connected;
    walked.ended({ kind: 'failed', failure });
    if (failure.status !== null) call.present.providerAnswered(failure.status, false);
    const next = walk.next(failure, place);
    if (next === undefined) return { connected, walked };
    const { requestId } = target;
    const provider = call.attempt.provider.slug;
    logger.info({ requestId, provider, kind: failure.kind, status: failure.status }, 'attempt-failed');
    call.turnTo(call.open(next.attempt, undefined));
    place = next.place;
    // Who has left is found out by the next attempt at once.
    await sleep(next.delayMs, undefined, { signal: target.signal }).catch(() => undefined);
  }
}

async function connectInTime(
  attempt: PlannedAttempt,
  walk: AttemptWalk<PlannedAttempt>,
  connect: (late: AbortSignal) => Promise<Connected>,
): Promise<FoundSession> {
  const late = new AbortController();
  let lateAfterMs: number | undefined;
  const walked = walk.begin(attempt, (withinMs) => {
    lateAfterMs = withinMs;
    late.abort();
  });
  const connected = await connect(late.signal);
  if (connected.kind === 'aborted' && lateAfterMs !== undefined) return { connected: tooLate(lateAfterMs), walked };
  if (connected.kind === 'open') {
    walked.begun();
    walked.served();
  }
  return { connected, walked };
}
