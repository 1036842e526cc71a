import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Outcome, UsageEvent } from '@pingtoken/shared/usage-event';
import { sendJson, type Answer } from './http-error.js';
import type { ProbeName } from './endpoints.js';
import type { LinkStatus } from './state.js';

/** What can be seen of a data plane from outside. Labels are few and closed: no tenant, key, model or address. */
export interface Observer {
  callEnded(call: EndedCall): void;
  /** A call that was refused before it was admitted. */
  callRefused(operation: string, code: string): void;
  /** The tokens of a call were counted here, for its provider did not report them; or they could not be. */
  tokensEstimated(isCounted: boolean): void;
  /** A call was given an answer that had been made for another one. */
  answerRepeated(why: RepeatKind): void;
  /** Answers could not be kept or found. */
  answersOutOfReach(): void;
  /** The text of `/metrics`, and its content type. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
}

export type RepeatKind = 'idempotency-key' | 'cache' | 'shared-call';

export interface EndedCall {
  readonly operation: UsageEvent['operation'];
  readonly outcome: Outcome;
  readonly status: number | null;
  readonly durationMs: number;
  readonly firstByteMs: number | null;
}

const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

export function createObserver({
  linkStatus,
  openCalls,
  warmConnections,
}: {
  readonly linkStatus: () => LinkStatus;
  readonly openCalls: () => number;
  readonly warmConnections: () => number;
}): Observer {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const calls = countCalls(registry);
  const refused = new Counter({
    name: 'pingtoken_refused_calls_total',
    help: 'Calls refused before they were admitted, by operation and error code.',
    labelNames: ['operation', 'code'] as const,
    registers: [registry],
  });
  const estimates = new Counter({
    name: 'pingtoken_estimated_calls_total',
    help: 'Calls whose tokens the provider did not report: counted here, or not counted (nothing was delivered, a fault, too late).',
    labelNames: ['result'] as const,
    registers: [registry],
  });
  observeState(registry, { linkStatus, openCalls, warmConnections });
  return {
    callEnded: calls,
    callRefused: (operation, code) => {
      refused.inc({ operation, code });
    },
    tokensEstimated: (isCounted) => {
      estimates.inc({ result: isCounted ? 'counted' : 'not counted' });
    },
    ...countRepeats(registry),
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function countRepeats(registry: Registry): Pick<Observer, 'answerRepeated' | 'answersOutOfReach'> {
  const repeated = new Counter({
    name: 'pingtoken_repeated_answers_total',
    help: 'Calls that were given an answer which had been made for another one, by the reason.',
    labelNames: ['why'] as const,
    registers: [registry],
  });
  const failures = new Counter({
    name: 'pingtoken_answer_store_failures_total',
    help: 'Times that answers could not be kept or found, so that calls went on without.',
    registers: [registry],
  });
  return {
    answerRepeated: (why) => {
      repeated.inc({ why });
    },
    answersOutOfReach: () => {
      failures.inc();
    },
  };
}

function countCalls(registry: Registry): (call: EndedCall) => void {
  const total = new Counter({
    name: 'pingtoken_calls_total',
    help: 'Calls that were admitted and have ended, by operation, outcome and the status given to the caller (none: it had left).',
    labelNames: ['operation', 'outcome', 'status'] as const,
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'pingtoken_call_duration_seconds',
    help: 'From the request head to the end of the answer.',
    labelNames: ['operation'] as const,
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  const firstByte = new Histogram({
    name: 'pingtoken_call_first_byte_seconds',
    help: 'From admission to the first byte of the provider’s answer.',
    labelNames: ['operation'] as const,
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  return (call) => {
    const status = call.status === null ? 'none' : String(call.status);
    total.inc({ operation: call.operation, outcome: call.outcome, status });
    duration.observe({ operation: call.operation }, call.durationMs / 1000);
    if (call.firstByteMs !== null) firstByte.observe({ operation: call.operation }, call.firstByteMs / 1000);
  };
}

/** Gauges that are read when they are asked for, and cost a call nothing. */
function observeState(
  registry: Registry,
  {
    linkStatus,
    openCalls,
    warmConnections,
  }: {
    readonly linkStatus: () => LinkStatus;
    readonly openCalls: () => number;
    readonly warmConnections: () => number;
  },
): void {
  const gauge = (name: string, help: string, read: () => number | undefined): void => {
    new Gauge({
      name: `pingtoken_${name}`,
      help,
      registers: [registry],
      collect() {
        const value = read();
        if (value === undefined) this.reset();
        else this.set(value);
      },
    });
  };
  gauge('open_calls', 'Calls on their way.', openCalls);
  gauge('warm_connections', 'Connections to providers that are open and unused.', warmConnections);
  gauge('config_link_connected', '1 while the control plane is connected.', () => Number(linkStatus().connected));
  gauge('config_epoch', 'Epoch of the configuration in force.', () => linkStatus().position?.epoch);
  gauge('config_seq', 'Sequence number of the configuration in force.', () => linkStatus().position?.seq);
  gauge('config_link_last_contact_seconds', 'When the control plane was last heard of, seconds since 1970.', () => {
    const { lastContactAt } = linkStatus();
    return lastContactAt === undefined ? undefined : lastContactAt / 1000;
  });
}

/** Answers `/healthz` (the process runs), `/readyz` (it can serve calls) and `/metrics`. They ask for no key. */
export function createProbes({
  observer,
  isReady,
}: {
  readonly observer: Observer;
  readonly isReady: () => boolean;
}): (name: ProbeName, answer: Answer) => void {
  return (name, answer) => {
    if (name === 'healthz') sendJson(answer, 200, '{"status":"ok"}');
    else if (name === 'metrics') void sendMetrics(observer, answer);
    else if (isReady()) sendJson(answer, 200, '{"status":"ready"}');
    else sendJson(answer, 503, '{"status":"not ready"}');
  };
}

async function sendMetrics(observer: Observer, { response, requestId }: Answer): Promise<void> {
  try {
    const { contentType, text } = await observer.render();
    response.writeHead(200, ['content-type', contentType, 'x-request-id', requestId]);
    response.end(text);
  } catch {
    response.destroy();
  }
}
