/**
 * Names and paths that more than one process must agree on, and the one place where JSON text becomes a value.
 */

/** BullMQ queue that carries {@link UsageJob} jobs from data planes to workers. */
export const USAGE_QUEUE = 'usage-events';

/** BullMQ prefix (Redis) or schema (PostgreSQL) that PingToken's queues live under. */
export const QUEUE_NAMESPACE = 'pingtoken';

/**
 * The config link. The data plane dials; the control plane never does, so that an edge site needs no open port.
 * Every request carries `Authorization: Bearer <JWT>` signed with the data plane's own Ed25519 key (RFC 7523).
 */
export const CONFIG_LINK = {
  /** SSE; `Last-Event-ID: <epoch>.<seq>` resumes. Events: `delta`, `resync`, `spool-confirmed`. */
  stream: '/config/stream',
  /** NDJSON document of every object, verified like a delta. */
  snapshot: '/config/snapshot',
  /** Receives {@link ConfigAck}. */
  ack: '/config/acks',
  /** Receives {@link HealthReport}. */
  health: '/config/health',
  /** `aud` claim of the data plane's token. */
  audience: 'pingtoken-control-plane',
} as const;

/** What a child process tells its launcher over IPC, once, when it can serve. */
export interface ReadyMessage {
  readonly type: 'ready';
  /** TCP ports that it listens on, own port first; empty for a worker. */
  readonly ports: readonly number[];
}

/**
 * Parses JSON text of unknown origin. Callers pass the value on to a schema; nothing else in the project parses JSON.
 * @throws SyntaxError when the text is not JSON.
 */
export function parseJson(text: string): unknown {
  return JSON.parse(text) as unknown;
}
