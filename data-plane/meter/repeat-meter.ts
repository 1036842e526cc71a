import type { RepeatedAnswer } from '@pingtoken/shared/usage-event';
import type { Admitted } from '../admit/admit.js';
import type { AddressRange } from '../environment.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { CallMoney } from '../leases/call-money.js';
import { countTokens, type CallLimits } from '../limits/call-limits.js';
import type { Observer } from '../observe.js';
import { createFactsMemo } from './call-facts.js';
import type { ClientSealers } from './seal-client.js';
import { SpoolUnavailableError, type Spool } from './spool.js';

export interface RepeatMeterOptions {
  readonly spool: Spool;
  readonly clientSealers: ClientSealers;
  readonly observer: Observer;
  readonly trustedProxies: readonly AddressRange[];
  readonly limits: CallLimits;
  readonly money?: CallMoney | undefined;
}

/** Records calls that are given an answer which was there already: a call like any other, but for the provider. */
export interface RepeatMeter {
  /**
   * Takes the call's part of its limits, pays its price from its leases, and writes its record.
   * @returns a refusal where a limit is reached, money lacks or nothing can be recorded; the answer must not be given then
   */
  record(call: Admitted, repeated: RepeatedAnswer): Promise<Refusal | undefined>;
}

export function createRepeatMeter(options: RepeatMeterOptions): RepeatMeter {
  const { spool, clientSealers, observer, trustedProxies, limits, money } = options;
  const factsOf = createFactsMemo(clientSealers, trustedProxies);
  return {
    record: async (call, repeated) => {
      const share = await limits.admit(call, countTokens(repeated.usage));
      if (share !== undefined && isRefusal(share)) return share;
      const held = await money?.reserveRepeat(call, repeated);
      if (held !== undefined && isRefusal(held)) {
        share?.settle({});
        return held;
      }
      const start = {
        facts: factsOf(call, held?.leaseIds),
        ...{ eventId: call.requestId, streamed: call.streamed, admittedAt: call.admittedAt, attempts: [] },
        ...(held !== undefined && { reserved: held.reserved }),
      };
      try {
        await spool.start(start);
      } catch (error) {
        share?.settle({});
        held?.settle();
        if (error instanceof SpoolUnavailableError) return refuse('spool_unavailable');
        throw error;
      }
      const end = { outcome: 'completed', status: 200, firstByteMs: null, billedAttempt: null } as const;
      await spool.end({ ...start, ...end, endedAt: Date.now(), repeated });
      share?.settle(repeated.usage);
      held?.settle({ priceCardVersionId: call.priceCardVersionId, ...repeated });
      const durationMs = performance.now() - call.timing.receivedAt;
      observer.callEnded({ operation: call.operation, ...end, durationMs });
      return undefined;
    },
  };
}
