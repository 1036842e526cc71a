import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { DataPlaneEnvironment } from '../environment.js';
import { OpenCalls } from '../forward/open-calls.js';
import { createUpstreamAddresses, createUpstreamAgents } from '../forward/upstream-address.js';
import { refuse } from '../http-error.js';
import { CLOSE_CODES } from './close-session.js';
import type { ConnectOptions } from './connect-provider.js';
import type { OpenSession, SessionTimes } from './session.js';
import { Upgrader, type UpgraderOptions } from './upgrader.js';

export type RealtimeEnvironment = Pick<
  DataPlaneEnvironment,
  | 'MAX_BODY_BYTES'
  | 'UPSTREAM_CONNECT_TIMEOUT_MS'
  | 'UPSTREAM_HEADERS_TIMEOUT_MS'
  | 'IDLE_TIMEOUT_MS'
  | 'UPSTREAM_TOTAL_TIMEOUT_MS'
  | 'STREAM_COMMENT_INTERVAL_MS'
  | 'PRIVATE_UPSTREAMS'
>;

export interface RealtimeOptions extends Omit<UpgraderOptions, 'open' | 'connecting' | 'times'> {
  readonly environment: RealtimeEnvironment;
}

/** Sessions over WebSockets, from the upgrade to their end. */
export interface Realtime {
  /** @param head what came behind the request's head */
  handleUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void;
  readonly openSessions: () => number;
  /** Ends what is still open, tells the callers and settles each. */
  cutOpenSessions(): void;
  /** Resolves when the books of all sessions are closed. */
  close(): Promise<void>;
}

const SWEEP_MS = 1_000;
/** Longest wait for a provider that is connected to agree to a session: it has nothing to think about yet. */
const ANSWER_TIMEOUT_MS = 30_000;
/** Pings that may go unanswered before a side is taken for lost. */
const PINGS_PER_SILENCE = 3;

export function createRealtime(options: RealtimeOptions): Realtime {
  const { environment, snapshot } = options;
  const open = new OpenCalls<OpenSession>();
  const agents = createUpstreamAgents(createUpstreamAddresses({ privateUpstreams: environment.PRIVATE_UPSTREAMS }));
  const { meter, observer, isDraining, walking, region, logger } = options;
  const upgrader = new Upgrader({
    open,
    snapshot,
    meter,
    observer,
    isDraining,
    walking,
    region,
    logger,
    times: sessionTimes(environment),
    connecting: connectOptions(environment, agents),
  });
  let checked = snapshot.catalogue;
  const sweep = setInterval(() => {
    const nowMs = Date.now();
    for (const session of open.list()) session.check(nowMs);
    if (snapshot.catalogue === checked) return;
    checked = snapshot.catalogue;
    for (const session of open.list()) session.recheck();
  }, SWEEP_MS);
  sweep.unref();
  return {
    handleUpgrade: (request, socket, head) => {
      upgrader.handle(request, socket, head);
    },
    openSessions: () => open.size,
    cutOpenSessions: () => {
      const refusal = refuse('not_ready');
      const fault = { refusal, outcome: 'interrupted', reason: 'the process stops' } as const;
      for (const session of open.list()) session.fail({ ...fault, closeCode: CLOSE_CODES.restart });
    },
    close: async () => {
      clearInterval(sweep);
      await Promise.all(open.list().map(({ settled }) => settled));
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

function connectOptions(environment: RealtimeEnvironment, agents: ConnectOptions['agents']): ConnectOptions {
  return {
    agents,
    connectTimeoutMs: environment.UPSTREAM_CONNECT_TIMEOUT_MS,
    answerTimeoutMs: Math.min(environment.UPSTREAM_HEADERS_TIMEOUT_MS, ANSWER_TIMEOUT_MS),
    maxMessageBytes: environment.MAX_BODY_BYTES,
  };
}

function sessionTimes(environment: RealtimeEnvironment): SessionTimes {
  const idleTimeoutMs = environment.IDLE_TIMEOUT_MS;
  return {
    idleTimeoutMs,
    totalTimeoutMs: environment.UPSTREAM_TOTAL_TIMEOUT_MS,
    pingIntervalMs: Math.min(environment.STREAM_COMMENT_INTERVAL_MS, idleTimeoutMs / PINGS_PER_SILENCE),
  };
}
