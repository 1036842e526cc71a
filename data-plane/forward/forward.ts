import type { Logger } from 'pino';
import type { MeteredCall } from '../meter/meter.js';
import type { Snapshot } from '../snapshot.js';
import type { PlannedAttempt } from '../route/route.js';
import { isRefusal } from '../http-error.js';
import { AttemptWalk, type WalkTools } from './attempt-walk.js';
import type { Exchange } from './exchange.js';
import { createJsonCaller, type UpstreamTimeouts } from './json-call.js';
import { createKeepAliveComments } from './keep-alive-comments.js';
import { OpenCalls } from './open-calls.js';
import { createPreparer } from './outgoing.js';
import type { Outgoing, Prepared } from './prepared-call.js';
import { createProxyCaller } from './proxy-call.js';
import { Relay } from './relay.js';
import { createUpstreamAddresses, createUpstreamConnector, type UpstreamAddressOptions } from './upstream-address.js';
import { createWarmConnections } from './warm-connections.js';

export interface Forwarder {
  /** Sends a recorded call to its provider; from here on its {@link Relay} answers the caller and settles it. */
  forward(call: MeteredCall): void;
  readonly openCalls: () => number;
  readonly warmConnections: () => number;
  /** Cuts one call that broke on our side, if it is on its way. */
  cutCall(requestId: string): void;
  readonly cutOpenCalls: () => void;
  readonly close: () => Promise<void>;
}

export interface ForwarderOptions extends UpstreamTimeouts, Partial<UpstreamAddressOptions> {
  /** Longest silence inside a stream before its caller gets a comment. */
  readonly commentIntervalMs: number;
  /** Connections kept ready for each host in use. */
  readonly warmConnections: number;
  /** Whether HTTP/2 is spoken where the provider offers it. */
  readonly allowH2: boolean;
  readonly snapshot: Snapshot;
  readonly walking: WalkTools;
  readonly logger: Logger;
}

const SWEEP_MS = 1_000;

/** Attempts are made in the order of the call's list, until one is answered. */
export function createForwarder({
  snapshot,
  walking,
  logger,
  privateUpstreams = [],
  resolve,
  commentIntervalMs,
  warmConnections,
  allowH2,
  ...timeouts
}: ForwarderOptions): Forwarder {
  const open = new OpenCalls<Relay>();
  const addresses = createUpstreamAddresses({ privateUpstreams, ...(resolve !== undefined && { resolve }) });
  const connect = createUpstreamConnector(addresses, timeouts.connectTimeoutMs, allowH2);
  const warm = createWarmConnections({ connect, perOrigin: warmConnections });
  const callerOptions = { timeouts, addresses, warm, connect, allowH2 };
  const jsonCaller = createJsonCaller(callerOptions);
  const proxyCaller = createProxyCaller(callerOptions);
  const comments = createKeepAliveComments({ intervalMs: commentIntervalMs });
  const send = (exchange: Exchange): void => {
    const { outgoing } = exchange.meter.routed;
    if (outgoing === undefined) throw new TypeError('a call that is not sent as one request');
    if (outgoing.client === 'proxy') proxyCaller.send(exchange, outgoing);
    else jsonCaller.send(exchange, outgoing);
  };
  const { idleTimeoutMs } = timeouts;
  const relayOptions = { openCalls: open, idleTimeoutMs, maxHoldMs: commentIntervalMs, comments, logger, send };
  let checked = snapshot.catalogue;
  const sweep = setInterval(() => {
    cutOverdue(open, walking.totalTimeoutMs);
    warm.tend(snapshot.catalogue);
    if (snapshot.catalogue === checked) return;
    checked = snapshot.catalogue;
    cutRevoked(open, snapshot);
  }, SWEEP_MS);
  sweep.unref();
  return {
    forward: (call) => {
      const relay = new Relay(call, relayOptions);
      // The caller may have left while its request was looked at.
      if (relay.isOver) return;
      relay.start(call.attempt.targetId === null ? undefined : walkOf(call.routed, walking));
    },
    openCalls: () => open.size,
    warmConnections: warm.size,
    cutCall: (requestId) => {
      for (const relay of open.list()) {
        if (relay.call.routed.requestId === requestId) relay.fail('internal_error', 'interrupted', 'a fault of ours');
      }
    },
    cutOpenCalls: () => {
      for (const relay of open.list()) relay.fail('not_ready', 'interrupted', 'the process stops');
    },
    close: async () => {
      clearInterval(sweep);
      warm.close();
      proxyCaller.close();
      comments.close();
      await jsonCaller.close();
    },
  };
}

function walkOf(routed: Prepared, tools: WalkTools): AttemptWalk<Outgoing> {
  let prepare: ReturnType<typeof createPreparer> | undefined;
  const prepareAttempt = (attempt: PlannedAttempt): Outgoing | undefined => {
    if (routed.task.kind !== 'metered') return undefined;
    prepare ??= createPreparer(routed, routed.task.request);
    const outgoing = prepare(attempt);
    // Where a count is made here nothing is sent.
    return isRefusal(outgoing) || outgoing.writeCount !== undefined ? undefined : outgoing;
  };
  return new AttemptWalk(routed, prepareAttempt, tools);
}

/**
 * A revoked key's open calls end too, at the first change of the config that is seen: who took the key away wants its use to stop, not
 * only its next use.
 */
function cutRevoked(open: OpenCalls<Relay>, snapshot: Snapshot): void {
  for (const relay of open.list()) {
    const account = snapshot.findAccount(relay.call.routed.keyHash);
    if (account?.apiKey.status !== 'active') relay.cut('invalid_api_key', 'interrupted', 'the key was revoked');
  }
}

function cutOverdue(open: OpenCalls<Relay>, totalTimeoutMs: number): void {
  const admittedBefore = Date.now() - totalTimeoutMs;
  for (const relay of open.list()) {
    if (relay.call.routed.admittedAt < admittedBefore) {
      relay.cut('upstream_timeout', 'timed-out', `the call took longer than ${totalTimeoutMs} ms`);
    }
  }
}
