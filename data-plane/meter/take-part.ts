import { capAnswer } from '../forward/outgoing.js';
import type { Prepared } from '../forward/prepared-call.js';
import { isRefusal, type Refusal } from '../http-error.js';
import type { CallMoney, HeldMoney } from '../leases/call-money.js';
import type { CallLimits, LimitShare } from '../limits/call-limits.js';

/** What a call was given before it goes out. */
export interface TakenPart {
  /** The call as it goes out: its answer is held to what is covered. */
  readonly routed: Prepared;
  /** Undefined where nothing bounds the call. */
  readonly share: LimitShare | undefined;
  readonly held: HeldMoney | undefined;
}

export interface Bounds {
  readonly limits: CallLimits;
  readonly money: CallMoney | undefined;
}

/** Says how many tokens the answer was held to, where its caller had named no cap and more is not covered. */
export const OUTPUT_CAP_HEADER = 'x-pingtoken-output-cap';

/** Takes a call's part of its limits and reserves what it can cost; of what is refused nothing is held. */
export async function takePart(prepared: Prepared, { limits, money }: Bounds): Promise<TakenPart | Refusal> {
  const share = limits.admit(prepared);
  if (share !== undefined && isRefusal(share)) return share;
  let isTaken = false;
  try {
    // Last of all, so that no money is held for what is refused anyway.
    const held = await (prepared.reserve === undefined ? money?.reserve(prepared) : prepared.reserve());
    if (held === undefined) {
      isTaken = true;
      return { routed: prepared, share, held };
    }
    if (isRefusal(held)) return held;
    const routed = holdAnswer(prepared, held);
    if (isRefusal(routed)) {
      held.settle();
      return routed;
    }
    isTaken = true;
    return { routed, share, held };
  } finally {
    if (!isTaken) share?.settle({});
  }
}

function holdAnswer(prepared: Prepared, { answerCap }: HeldMoney): Prepared | Refusal {
  if (answerCap === undefined) return prepared;
  const { response } = prepared;
  if (!response.headersSent) response.setHeader(OUTPUT_CAP_HEADER, String(answerCap));
  return capAnswer(prepared, answerCap);
}
