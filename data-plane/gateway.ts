import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Admitted } from './admit/admit.js';
import { admitCall } from './admit/admit-call.js';
import { describeKey } from './admit/describe-key.js';
import { answerModelQuestion } from './admit/list-models.js';
import { authenticate, CALLER_LEFT, checkBodyHead, readBody } from './authenticate.js';
import { CallTiming } from './call-timing.js';
import type { DataPlaneEnvironment } from './environment.js';
import { dialectOf, isProbe } from './endpoints.js';
import type { UpstreamTimeouts } from './forward/json-call.js';
import { createForwarder, type Forwarder } from './forward/forward.js';
import { countHere } from './forward/count-tokens.js';
import { prepare } from './forward/outgoing.js';
import { createGuardrails, type Guardrails } from './guardrail/guardrails.js';
import { isRefusal, refuse, sendRefusal, type Answer, type Refusal } from './http-error.js';
import { createCallMoney } from './leases/call-money.js';
import { createCallLimits, type CallLimits } from './limits/call-limits.js';
import { createTokenEstimator, type TokenEstimator } from './meter/estimate/token-estimator.js';
import { createMeter, type Meter } from './meter/meter.js';
import { createObserver, createProbes, type Observer } from './observe.js';
import { createRealtime } from './realtime/realtime.js';
import { UPGRADE_HEADERS } from './realtime/refuse-upgrade.js';
import { createRequestId, receive, type Received } from './receive.js';
import { isInBackground } from './resources/background.js';
import { createKeptThings, type KeptThings } from './resources/kept-things.js';
import { createHealth, type Health } from './route/health.js';
import { RetryBudgets } from './route/retry-budget.js';
import { ANSWERED, createReplays, type Replays, type Unanswered } from './replay/replay.js';
import { route } from './route/route.js';
import { seedOf } from './route/seed.js';
import type { Snapshot } from './snapshot.js';
import type { State } from './state.js';

export type GatewayEnvironment = Pick<
  DataPlaneEnvironment,
  | 'TRUSTED_PROXIES'
  | 'MAX_BODY_BYTES'
  | 'UPSTREAM_CONNECT_TIMEOUT_MS'
  | 'UPSTREAM_HEADERS_TIMEOUT_MS'
  | 'IDLE_TIMEOUT_MS'
  | 'UPSTREAM_TOTAL_TIMEOUT_MS'
  | 'FIRST_TOKEN_TIMEOUT_MS'
  | 'WARM_CONNECTIONS'
  | 'UPSTREAM_HTTP2'
  | 'STREAM_COMMENT_INTERVAL_MS'
  | 'ESTIMATE_TIMEOUT_MS'
  | 'PRIVATE_UPSTREAMS'
  | 'BATCH_POLL_INTERVAL_MS'
  | 'REDIS_URL'
  | 'IDEMPOTENCY_WINDOW_MS'
  | 'REPLAY_MAX_ANSWER_BYTES'
  | 'REPLAY_MAX_BYTES'
>;

export interface GatewayOptions {
  readonly state: Pick<State, 'snapshot' | 'spool' | 'batches' | 'clientSealers' | 'linkStatus'> &
    Partial<Pick<State, 'leases' | 'shares' | 'healthReporter' | 'allocator' | 'inLedger'>>;
  readonly environment: GatewayEnvironment;
  /** Where this data plane stands; null where it does not matter. */
  readonly region?: string | null;
  readonly logger: Logger;
}

export interface Gateway {
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** A request for a session over a WebSocket; see `asksForSession`. */
  handleUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void;
  /** Refuses new calls from now on; open ones go on. */
  drain(): void;
  readonly openCalls: () => number;
  /** Cuts what is still open, tells the callers and settles each. */
  readonly cutOpenCalls: () => void;
  readonly close: () => Promise<void>;
}

export function createGateway({ state, environment, region = null, logger }: GatewayOptions): Gateway {
  const { snapshot, spool, batches, clientSealers, leases, allocator, inLedger } = state;
  let isDraining = false;
  const health = watchHealth(state, logger);
  const timeouts = timeoutsOf(environment);
  const { PRIVATE_UPSTREAMS: privateUpstreams } = environment;
  const walking = {
    ...{ health, budgets: new RetryBudgets(Date.now), random: Math.random },
    totalTimeoutMs: environment.UPSTREAM_TOTAL_TIMEOUT_MS,
    firstTokenTimeoutMs: environment.FIRST_TOKEN_TIMEOUT_MS,
  };
  const forwarder = createForwarder({
    ...{ ...timeouts, walking, privateUpstreams, snapshot, logger },
    commentIntervalMs: environment.STREAM_COMMENT_INTERVAL_MS,
    warmConnections: environment.WARM_CONNECTIONS,
    allowH2: environment.UPSTREAM_HTTP2 === 'on',
  });
  const openCalls = (): number => forwarder.openCalls() + realtime.openSessions();
  const { warmConnections } = forwarder;
  const observer = createObserver({ linkStatus: () => state.linkStatus(), openCalls, warmConnections });
  const estimator = createTokenEstimator({ logger, timeoutMs: environment.ESTIMATE_TIMEOUT_MS });
  const limits = createCallLimits({ trustedProxies: environment.TRUSTED_PROXIES, sharing: state.shares });
  const money = leases === undefined ? undefined : createCallMoney(leases);
  const books = { spool, clientSealers, observer, limits, money, trustedProxies: environment.TRUSTED_PROXIES };
  const meter = createMeter({ ...books, estimator });
  const replays = createReplays({ ...books, environment, snapshot, logger, isDraining: () => isDraining });
  const realtime = createRealtime({
    ...{ environment, snapshot, meter, observer, walking, region, logger },
    isDraining: () => isDraining,
  });
  const guardrails = createGuardrails({ ...timeouts, privateUpstreams, meter, logger });
  const kept = createKeptThings({
    ...{ batches, allocator, inLedger, spool, snapshot, meter, forwarder, timeouts, privateUpstreams, logger },
    pollIntervalMs: environment.BATCH_POLL_INTERVAL_MS,
  });
  const promptCounter = createTokenEstimator({ logger, timeoutMs: COUNT_TIMEOUT_MS });
  const serve = createStages({
    ...{ snapshot, meter, forwarder, kept, promptCounter, limits, replays, health, guardrails, region },
    maxBodyBytes: environment.MAX_BODY_BYTES,
  });
  const probe = createProbes({ observer, isReady: () => !isDraining && snapshot.catalogue !== undefined });

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const timing = new CallTiming();
    const dialect = dialectOf(request.url ?? '', request.headers);
    const answer = { request, response, requestId: createRequestId(), timing, dialect };
    const received = receive(answer);
    if (isRefusal(received)) {
      observer.callRefused('none', received.refused);
      sendRefusal(answer, received, received.allow === undefined ? [] : ['allow', received.allow]);
    } else if (received.endpoint.name === 'realtime') {
      observer.callRefused('realtime', 'upgrade_required');
      sendRefusal(answer, refuse('upgrade_required'), UPGRADE_HEADERS);
    } else if (isProbe(received.endpoint)) probe(received.endpoint.name, answer);
    else if (isDraining) sendRefusal(answer, refuse('not_ready'), ['connection', 'close']);
    else run(received, { serve, observer, forwarder, logger });
  }

  return {
    handle,
    drain: () => {
      isDraining = true;
    },
    handleUpgrade: realtime.handleUpgrade,
    openCalls,
    cutOpenCalls: () => {
      forwarder.cutOpenCalls();
      realtime.cutOpenSessions();
    },
    close: async () => {
      await realtime.close();
      await kept.close();
      // Calls that go on without their callers hold no connection open.
      forwarder.cutOpenCalls();
      replays.close();
      await guardrails.close();
      await forwarder.close();
      await promptCounter.close();
      await meter.close();
      limits.close();
    },
  };
}

function timeoutsOf(environment: GatewayEnvironment): UpstreamTimeouts {
  return {
    connectTimeoutMs: environment.UPSTREAM_CONNECT_TIMEOUT_MS,
    headersTimeoutMs: environment.UPSTREAM_HEADERS_TIMEOUT_MS,
    idleTimeoutMs: environment.IDLE_TIMEOUT_MS,
  };
}

/** Longer than for what is billed: who asks for a count waits for it, and the first one of a process loads a tokenizer. */
const COUNT_TIMEOUT_MS = 30_000;

/** What is known of the providers' targets; a credential that is refused is a fault that somebody has to see to. */
function watchHealth({ snapshot, healthReporter }: GatewayOptions['state'], logger: Logger): Health {
  const health = createHealth({
    clock: Date.now,
    credentialSeq: (credentialId) => snapshot.catalogue?.credentialSeq(credentialId),
    onChange: () => healthReporter?.changed(),
    onCredentialFault: ({ isParked, ...fault }) => {
      if (isParked) logger.error(fault, 'credential-parked');
      else logger.info(fault, 'credential-well-again');
    },
  });
  healthReporter?.watch(() => health.describe());
  return health;
}

/** @returns why the call was refused; undefined when it has gone out, is answered, or has nobody to answer any more */
type Serve = (received: Received) => Promise<Refusal | undefined>;

/**
 * The stages of a call, once each and in this order: `receive -> authenticate -> admit -> route -> forward -> meter`, and
 * between admit and route the guardrails of the routes that have one. What
 * is sent is made before anything is, so that what cannot be said is refused and costs nothing; then the meter opens its
 * record before the call goes out, and closes it when the call ends. Each stage takes the type that the one before returned,
 * so a wrong order does not compile.
 */
function createStages({
  snapshot,
  meter,
  forwarder,
  promptCounter,
  limits,
  kept,
  replays,
  health,
  guardrails,
  region,
  maxBodyBytes,
}: {
  readonly snapshot: Snapshot;
  readonly meter: Meter;
  readonly forwarder: Forwarder;
  /** Counts what callers ask for, and nothing that is billed. */
  readonly promptCounter: TokenEstimator;
  readonly limits: CallLimits;
  readonly kept: KeptThings;
  readonly replays: Replays;
  readonly health: Health;
  readonly guardrails: Guardrails;
  readonly region: string | null;
  readonly maxBodyBytes: number;
}): Serve {
  return async (received) => {
    const known = authenticate(received, snapshot, Date.now());
    if (isRefusal(known)) return known;
    const { endpoint } = known;
    const { name } = endpoint;
    if (name === 'list-models' || name === 'show-model') return answerModelQuestion(known, Date.now());
    if (name === 'describe-key') {
      describeKey(known, limits, Date.now());
      return undefined;
    }
    const accepts = name === 'model-call' ? endpoint.accepts : undefined;
    const headFault = name === 'passthrough' || name === 'kept-things' ? undefined : checkBodyHead(known, accepts);
    if (headFault !== undefined) return headFault;
    const whole = await readBody(known, maxBodyBytes);
    if (whole === CALLER_LEFT) return undefined;
    if (isRefusal(whole)) return whole;
    if (endpoint.name === 'kept-things') return kept.serve(whole, endpoint);
    const admitted = admitCall(whole, Date.now());
    if (isRefusal(admitted)) return admitted;
    const judged = guardrails.judge(admitted);
    const forbidden = judged === undefined ? undefined : await judged;
    if (forbidden !== undefined) return forbidden;
    if (!replays.concerns(admitted)) return proceed(admitted);
    const taken = await replays.take(admitted);
    if (taken === ANSWERED) return undefined;
    if (isRefusal(taken)) return taken;
    return makeCall(taken, proceed);
  };
  async function proceed(admitted: Admitted): Promise<Refusal | undefined> {
    const routed = route(admitted, { seed: seedOf(admitted.requestId), health, region });
    if (isRefusal(routed)) return routed;
    const prepared = prepare(routed);
    if (isRefusal(prepared)) return prepared;
    const { outgoing } = prepared;
    if (outgoing?.writeCount !== undefined) return countHere(prepared, outgoing, { estimator: promptCounter, limits });
    if (isInBackground(prepared)) return kept.createInBackground(prepared);
    const call = await meter.begin(prepared);
    if (isRefusal(call)) return call;
    forwarder.forward(call);
    return undefined;
  }
}

/** What does not go out has no answer that others could wait for. */
async function makeCall(
  { call, giveUp }: Unanswered,
  proceed: (call: Admitted) => Promise<Refusal | undefined>,
): Promise<Refusal | undefined> {
  try {
    const refusal = await proceed(call);
    if (refusal !== undefined) giveUp();
    return refusal;
  } catch (error) {
    giveUp();
    throw error;
  }
}

/** Runs the stages and answers what they refuse; a fault in them ends this call and no other. */
function run(
  received: Received,
  {
    serve,
    observer,
    forwarder,
    logger,
  }: {
    readonly serve: Serve;
    readonly observer: Observer;
    readonly forwarder: Forwarder;
    readonly logger: Logger;
  },
): void {
  const answer: Answer = received;
  const { endpoint } = received;
  const refuseCall = (refusal: Refusal): void => {
    observer.callRefused('operation' in endpoint ? endpoint.operation : endpoint.name, refusal.refused);
    sendRefusal(answer, refusal);
  };
  serve(received).then(
    (refusal) => {
      if (refusal !== undefined) refuseCall(refusal);
    },
    (error: unknown) => {
      logger.error({ requestId: received.requestId, error }, 'call-broke');
      forwarder.cutCall(received.requestId);
      if (received.response.headersSent) received.response.destroy();
      else refuseCall(refuse('internal_error'));
    },
  );
}
