import { MAX_MODEL_LENGTH, MAX_REPORTED, MAX_REPORTED_MS, type ReportedHealth } from '@pingtoken/shared/health-report';
import type { Parking } from './parking.js';
import type { TargetState } from './target-state.js';

/** After a 429: no call of the model with the credential until then. */
export interface CoolDown {
  readonly until: number;
  /** By the provider, and not guessed by us. */
  readonly isStated: boolean;
  /** Which state of the credential was asked too often. */
  readonly credentialSeq: number | undefined;
}

/** What is known of the providers, as it is kept: targets by their id, parked by credential. */
interface KnownHealth {
  readonly targets: ReadonlyMap<string, TargetState>;
  readonly parked: ReadonlyMap<string, Parking>;
  /** By `<credential> <upstream model>`. */
  readonly coolDowns: ReadonlyMap<string, CoolDown>;
}

/** What the control plane is told of it: what is blocked, and the targets that are in use. */
export function describeHealth({ targets, parked, coolDowns }: KnownHealth, now: number): ReportedHealth {
  return {
    parked: [...parked]
      .slice(0, MAX_REPORTED)
      .flatMap(([credentialId, parking]) => describeParking(credentialId, parking, now)),
    coolDowns: [...coolDowns].flatMap(([key, coolDown]) => describeCoolDown(key, coolDown, now)).slice(0, MAX_REPORTED),
    targets: inUse(targets, now)
      .slice(0, MAX_REPORTED)
      .map(([targetId, state]) => describeTarget(targetId, state, now)),
  };
}

/** A credential that the config has never held has no state that could be refused. */
function describeParking(credentialId: string, parking: Parking, now: number): ReportedHealth['parked'] {
  const { credentialSeq, status, since } = parking;
  if (credentialSeq === undefined) return [];
  const blockedForMs = remaining(parking.blockedUntil(now), now);
  return [{ credentialId, credentialSeq, status, parkedForMs: remaining(now, since), blockedForMs }];
}

function describeCoolDown(key: string, coolDown: CoolDown, now: number): ReportedHealth['coolDowns'] {
  const { until, isStated, credentialSeq } = coolDown;
  if (until <= now || credentialSeq === undefined) return [];
  const space = key.indexOf(' ');
  const [credentialId, upstreamModel] = [key.slice(0, space), key.slice(space + 1)];
  if (upstreamModel.length > MAX_MODEL_LENGTH) return [];
  return [{ credentialId, credentialSeq, upstreamModel, blockedForMs: remaining(until, now), isStated }];
}

/** Those whose breaker is open first. */
function inUse(targets: KnownHealth['targets'], now: number): (readonly [string, TargetState])[] {
  const open: (readonly [string, TargetState])[] = [];
  const closed: (readonly [string, TargetState])[] = [];
  for (const entry of targets) {
    const [, { breaker, outstanding, attempts, requests }] = entry;
    if (!breaker.isClosed) open.push(entry);
    else if (outstanding > 0 || attempts.sum(now) > 0 || requests.sum(now) > 0) closed.push(entry);
  }
  return [...open, ...closed];
}

function describeTarget(targetId: string, state: TargetState, now: number): ReportedHealth['targets'][number] {
  return {
    targetId,
    credentialId: state.credentialId,
    isBreakerOpen: !state.breaker.isClosed,
    blockedForMs: remaining(state.breaker.blockedUntil(now), now),
    outstanding: state.outstanding,
    latencyMs: state.latencies(false).peak.value(now) ?? null,
    streamLatencyMs: state.latencies(true).peak.value(now) ?? null,
    attempts: state.attempts.sum(now),
    failures: state.failures.sum(now),
    requestsPerMinute: Math.round(state.requests.sum(now)),
    tokensPerMinute: Math.round(state.tokens.sum(now)),
  };
}

/** @returns 0 where it is over, or a clock was set back */
function remaining(until: number | undefined, from: number): number {
  return until === undefined ? 0 : Math.min(MAX_REPORTED_MS, Math.max(0, Math.ceil(until - from)));
}
