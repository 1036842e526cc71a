/** What a data plane knows of a target with its credential, at one instant. */
export interface TargetHealth {
  /** Why it is not called now, whatever else there is. */
  readonly blocked: 'credential-parked' | 'cooling-down' | 'breaker-open' | undefined;
  /** Milliseconds since 1970 until which it is blocked. */
  readonly blockedUntil: number | undefined;
  /**
   * Whether it may be called all the same where nothing else is left: what we inferred ourselves may be wrong, what the
   * provider said is not.
   */
  readonly isLastResort: boolean;
  /** Open calls. */
  readonly outstanding: number;
  /** Peak-EWMA of the time to the first byte, fading to zero while nobody asks; undefined where it is not known. */
  readonly latencyMs: number | undefined;
  /** Attempts that ended within the window, and how many of them failed by the target's fault. */
  readonly attempts: number;
  readonly failures: number;
  /** Within the last minute, open ones included. */
  readonly requestsPerMinute: number;
  readonly tokensPerMinute: number;
}

/** @returns undefined for what has never been called, or is not known of here */
export type HealthOf = (targetId: string, credentialId: string, upstreamModel: string) => TargetHealth | undefined;
