import { isRefusal } from '../http-error.js';
import { noLongerAdmitted, type OpenSession, type SessionFault } from './session.js';

/** A call that is on its way to become a session: recorded, and its caller waits for an answer by HTTP. */
export class Opening implements OpenSession {
  place = -1;
  readonly settled: Promise<void>;
  /** What ended it, where it was neither the caller nor the provider. */
  fault: SessionFault | undefined;
  readonly #controller = new AbortController();
  readonly #settling: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #readmit: () => object;

  /** @param readmit asks the first stages again */
  constructor(readmit: () => object) {
    this.#readmit = readmit;
    this.settled = this.#settling.promise;
  }

  /** Ends the way to the provider. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  fail(fault: SessionFault): void {
    this.fault ??= fault;
    this.#controller.abort();
  }

  callerLeft(): void {
    this.#controller.abort();
  }

  /** Its times are those of connecting. */
  check(): void {
    return undefined;
  }

  recheck(): void {
    const admitted = this.#readmit();
    if (isRefusal(admitted)) this.fail(noLongerAdmitted(admitted));
  }

  over(): void {
    this.#settling.resolve();
  }
}
