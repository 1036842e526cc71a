import type { ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import type { Attempt, Outcome } from '@pingtoken/shared/usage-event';

/** How a call has ended, as its record in the books says. */
export interface EndedCall {
  readonly outcome: Outcome;
  /** The tenant pays for what was delivered. */
  readonly isCharged: boolean;
  readonly usage: Usage;
  readonly countedBy: Attempt['countedBy'];
  readonly serviceTier: ServiceTier | undefined;
  /** The route of the model that was asked for; undefined where another model has served, or no provider was asked. */
  readonly routeId: string | undefined;
}

/** Looks on while a call is made. */
export interface CallWatch {
  /** Whether the call goes on though its caller has left. */
  goesOnAlone(): boolean;
  /** Once, when the end of the call is in the books. */
  ended(call: EndedCall): void;
}
