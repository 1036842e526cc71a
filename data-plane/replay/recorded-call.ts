import type { Admitted } from '../admit/admit.js';
import type { CallWatch, EndedCall } from '../call-watch.js';
import type { KeptAnswer } from './kept-answer.js';
import { RecordedResponse, type Recording } from './recorded-response.js';

/** What is to become of an answer. */
export interface Keeper {
  /** Whether somebody may come for the answer though its caller has left. */
  isAwaited(): boolean;
  /** There is a whole answer; `call` says whether it is one that can be given again. */
  take(answer: KeptAnswer, call: EndedCall): void;
  /** There is none, or none that is whole. A second time, or after `take`, nothing happens. */
  giveUp(): void;
}

/** A call whose answer is recorded. It is handed to its keepers when both the answer and its record are complete. */
export class RecordedCall implements CallWatch {
  readonly admitted: Admitted;
  readonly #keepers: readonly Keeper[];
  #recording: Recording | undefined;
  #ended: EndedCall | undefined;

  constructor(call: Admitted, keepers: readonly Keeper[], maxBytes: number) {
    this.#keepers = keepers;
    const { request, response } = call;
    const onEnd = (recording: Recording | undefined): void => {
      this.#recording = recording;
      if (recording === undefined) this.giveUp();
      else this.#hand();
    };
    const recorded = new RecordedResponse({ request, response, maxBytes, onEnd });
    this.admitted = { ...call, response: recorded, watch: this };
  }

  goesOnAlone(): boolean {
    return this.#keepers.some((keeper) => keeper.isAwaited());
  }

  ended(call: EndedCall): void {
    this.#ended = call;
    // Nobody is told the end of such a call, so that nothing is recorded of it.
    if (call.outcome === 'caller-left') this.giveUp();
    else this.#hand();
  }

  giveUp(): void {
    for (const keeper of this.#keepers) keeper.giveUp();
  }

  #hand(): void {
    const [recording, ended] = [this.#recording, this.#ended];
    if (recording === undefined || ended === undefined) return;
    const { usage, countedBy, serviceTier } = ended;
    const tier = serviceTier === undefined ? {} : { serviceTier };
    const answer: KeptAnswer = {
      status: recording.status,
      headers: recording.headers.filter((_part, index) => isKept(recording.headers[index - (index % 2)])),
      isTooLong: recording.isTooLong,
      keyHash: this.admitted.keyHash,
      billed: ended.isCharged && countedBy !== 'none' ? { usage, countedBy, ...tier } : null,
      body: recording.body,
    };
    for (const keeper of this.#keepers) keeper.take(answer, ended);
  }
}

/** Of this connection and this moment, not of the answer. */
const FLEETING_HEADERS: ReadonlySet<string | undefined> = new Set([
  ...['connection', 'keep-alive', 'transfer-encoding', 'date', 'server-timing'],
]);

function isKept(name: string | undefined): boolean {
  return !FLEETING_HEADERS.has(name?.toLowerCase());
}
