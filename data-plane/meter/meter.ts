import type { Usage } from '@pingtoken/shared/rate-card';
import type { Attempt, Outcome } from '@pingtoken/shared/usage-event';
import { readCallerClient } from '../admit/caller-client.js';
import type { AddressRange } from '../environment.js';
import { refuse, type Refusal } from '../http-error.js';
import type { Observer } from '../observe.js';
import type { Prepared } from '../forward/outgoing.js';
import type { PlannedAttempt, Routed } from '../route/route.js';
import type { ClientSealers } from './seal-client.js';
import { SharedFacts, SpoolUnavailableError, type CallFacts, type Spool, type StartRecord } from './spool.js';

export interface MeterOptions {
  readonly spool: Spool;
  readonly clientSealers: ClientSealers;
  readonly observer: Observer;
  readonly trustedProxies: readonly AddressRange[];
}

export interface Meter {
  /**
   * Writes the start record: when this resolves to a call, a kill of the process cannot make us forget that it went out.
   * @returns a refusal where nothing can be recorded; the call must not be made then
   */
  begin(routed: Prepared): Promise<MeteredCall | Refusal>;
}

export function createMeter({ spool, clientSealers, observer, trustedProxies }: MeterOptions): Meter {
  const factsOf = createFactsMemo(clientSealers, trustedProxies);
  return {
    begin: async (routed) => {
      const start: StartRecord = {
        facts: factsOf(routed),
        eventId: routed.requestId,
        streamed: routed.streamed,
        admittedAt: routed.admittedAt,
        attempts: [attemptRecord(routed.attempts[0], { status: null, usage: undefined })],
      };
      try {
        await spool.start(start);
      } catch (error) {
        if (error instanceof SpoolUnavailableError) return refuse('spool_unavailable');
        throw error;
      }
      return new MeteredCall({ routed, start, spool, observer });
    },
  };
}

/** The calls over one connection are nearly always of one key and one model: what their records share is made once. */
function createFactsMemo(
  clientSealers: ClientSealers,
  trusted: readonly AddressRange[],
): (routed: Routed) => SharedFacts {
  const last = new WeakMap<object, SharedFacts>();
  return (routed) => {
    const { socket } = routed.request;
    const facts = callFacts(routed, clientSealers, trusted);
    const before = last.get(socket);
    if (before !== undefined && isSame(before.values, facts)) return before;
    const shared = new SharedFacts(facts);
    last.set(socket, shared);
    return shared;
  };
}

function callFacts(routed: Routed, clientSealers: ClientSealers, trusted: readonly AddressRange[]): CallFacts {
  const { account, catalogue, member, request } = routed;
  return {
    tenantId: account.tenant.id,
    apiKeyId: account.apiKey.id,
    memberId: member.id,
    config: catalogue.position,
    operation: routed.operation,
    model: routed.model,
    priceCardVersionId: routed.priceCardVersionId,
    leaseIds: NO_LEASES,
    client: clientSealers.seal(member.sealingKey, readCallerClient(request, trusted), request.socket),
  };
}

const NO_LEASES: string[] = [];

function isSame(one: CallFacts, other: CallFacts): boolean {
  return (
    one.apiKeyId === other.apiKeyId &&
    one.memberId === other.memberId &&
    one.tenantId === other.tenantId &&
    one.config === other.config &&
    one.operation === other.operation &&
    one.model === other.model &&
    one.priceCardVersionId === other.priceCardVersionId &&
    one.leaseIds === other.leaseIds &&
    one.client === other.client
  );
}

function attemptRecord(
  attempt: PlannedAttempt,
  { status, usage }: { readonly status: number | null; readonly usage: Usage | undefined },
): Attempt {
  return {
    targetId: attempt.targetId,
    providerId: attempt.provider.id,
    credentialId: attempt.credentialId,
    upstreamModel: attempt.upstreamModel,
    status,
    usage: usage ?? {},
    countedBy: usage === undefined ? 'none' : 'provider',
    costCardVersionId: attempt.costCardVersionId,
  };
}

/**
 * One call that went out. Settles exactly once, whichever of success, error, time-out and hang-up comes first; what comes
 * later is ignored.
 */
export class MeteredCall {
  readonly routed: Prepared;
  readonly attempt: PlannedAttempt;
  readonly #start: StartRecord;
  readonly #spool: Spool;
  readonly #observer: Observer;
  #providerStatus: number | null = null;
  #firstByteMs: number | null = null;
  #usage: Usage | undefined;
  #streamed: boolean;
  #isSettled = false;

  constructor({
    routed,
    start,
    spool,
    observer,
  }: {
    readonly routed: Prepared;
    readonly start: StartRecord;
    readonly spool: Spool;
    readonly observer: Observer;
  }) {
    this.routed = routed;
    this.attempt = routed.attempts[0];
    this.#start = start;
    this.#spool = spool;
    this.#observer = observer;
    this.#streamed = routed.streamed;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  providerAnswered(status: number, isStream: boolean): void {
    this.#providerStatus = status;
    this.#streamed ||= isStream;
  }

  firstByteCame(): void {
    this.#firstByteMs ??= Math.max(0, Date.now() - this.routed.admittedAt);
  }

  /** What the provider says it counted; a later report replaces an earlier one, for they are running totals. */
  usageReported(usage: Usage | undefined): void {
    if (usage !== undefined) this.#usage = usage;
  }

  /** What the tenant pays where the provider reported nothing. */
  usageAssumed(usage: Usage | undefined): void {
    this.#usage ??= usage;
  }

  /**
   * Resolves when it is in the books; never rejects.
   * @param status what the caller was given, null where it was given nothing
   */
  settle(outcome: Outcome, status: number | null): Promise<void> {
    if (this.#isSettled) return Promise.resolve();
    this.#isSettled = true;
    const endedAt = Date.now();
    const written = this.#spool.end({
      ...this.#start,
      streamed: this.#streamed,
      endedAt,
      firstByteMs: this.#firstByteMs,
      outcome,
      status,
      attempts: [attemptRecord(this.attempt, { status: this.#providerStatus, usage: this.#billableUsage() })],
      billedAttempt: this.#isBilled(outcome) ? 0 : null,
    });
    this.#observer.callEnded({
      operation: this.routed.operation,
      outcome,
      status,
      durationMs: performance.now() - this.routed.receivedAt,
      firstByteMs: this.#firstByteMs,
    });
    return written;
  }

  #isServed(): boolean {
    return this.#providerStatus !== null && this.#providerStatus >= 200 && this.#providerStatus < 300;
  }

  /** An error answer costs nothing, whatever it claims. */
  #billableUsage(): Usage | undefined {
    return this.#isServed() ? this.#usage : undefined;
  }

  /**
   * The tenant pays for what the provider served: an answer given to its end, or one cut short whose usage was known by
   * then. Who hangs up after the last word does not call for free.
   */
  #isBilled(outcome: Outcome): boolean {
    return this.#isServed() && (outcome === 'completed' || this.#usage !== undefined);
  }
}
