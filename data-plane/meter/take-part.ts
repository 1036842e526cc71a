import { capAnswer } from '../forward/outgoing.js';
import type { Prepared } from '../forward/prepared-call.js';
import { isRefusal, type Refusal } from '../http-error.js';
import type { CallMoney } from '../leases/call-money.js';
import type { HeldMoney } from '../leases/held-money.js';
import type { CallLimits, LimitShare } from '../limits/call-limits.js';
import { OUTPUT_CAP_HEADER } from '../limits/limit-headers.js';

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

/** Takes a call's part of its limits and reserves what it can cost; of what is refused nothing is held. */
export async function takePart(prepared: Prepared, { limits, money }: Bounds): Promise<TakenPart | Refusal> {
  const pending = limits.admit(prepared);
  if (pending !== undefined && 'refused' in pending) return pending;
  // Money last, so that none is held for what is refused anyway. Only where a share has to be waited for, both are asked for
  // at once: a call waits for the control plane once.
  const reserving = prepared.reserve === undefined ? money?.reserve(prepared) : prepared.reserve();
  const [share, held] = await settleBoth(pending, reserving);
  const routed =
    refusalIn(share, held) ?? (held === undefined || isRefusal(held) ? prepared : holdAnswer(prepared, held));
  if (isRefusal(routed)) {
    known(share)?.settle({});
    known(held)?.settle();
    return routed;
  }
  return { routed, share: known(share), held: known(held) };
}

/** Where the one fails, the other is given back. */
async function settleBoth(
  pending: ReturnType<CallLimits['admit']>,
  reserving: Promise<HeldMoney | Refusal | undefined> | undefined,
): Promise<readonly [LimitShare | Refusal | undefined, HeldMoney | Refusal | undefined]> {
  // Nearly always the share is there at once.
  if (!(pending instanceof Promise)) {
    try {
      return [pending, await reserving];
    } catch (error) {
      known(pending)?.settle({});
      throw error;
    }
  }
  const [share, held] = await Promise.allSettled([pending, reserving]);
  if (share.status === 'rejected') {
    if (held.status === 'fulfilled') known(held.value)?.settle();
    throw share.reason;
  }
  if (held.status === 'rejected') {
    known(share.value)?.settle({});
    throw held.reason;
  }
  return [share.value, held.value];
}

function refusalIn(...parts: readonly (LimitShare | HeldMoney | Refusal | undefined)[]): Refusal | undefined {
  return parts.find((part): part is Refusal => part !== undefined && isRefusal(part));
}

function known<Part extends object>(part: Part | Refusal | undefined): Part | undefined {
  return part === undefined || isRefusal(part) ? undefined : part;
}

function holdAnswer(prepared: Prepared, { answerCap }: HeldMoney): Prepared | Refusal {
  if (answerCap === undefined) return prepared;
  const { response } = prepared;
  if (!response.headersSent) response.setHeader(OUTPUT_CAP_HEADER, String(answerCap));
  return capAnswer(prepared, answerCap);
}
