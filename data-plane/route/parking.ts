import { Breaker } from './breaker.js';

/** One refusal is enough: the next call would be refused too, and vendors lock out who goes on. */
const CREDENTIAL_BREAKER = { failuresInRow: 1, failureShare: null, openMs: 30_000, maxOpenMs: 900_000 };

/** A credential that its provider refuses; half-open, one call at a time asks whether it still does. */
export class Parking extends Breaker {
  /** The provider's, of its last refusal. */
  status: number | null = null;

  /**
   * @param credentialSeq which state of the credential is refused
   * @param since milliseconds since 1970
   */
  constructor(
    readonly credentialSeq: number | undefined,
    readonly since: number,
  ) {
    super(CREDENTIAL_BREAKER);
  }
}
