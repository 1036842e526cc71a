/** What is wanted in stock of a scope: enough for the next seconds, and for some calls of the usual size. */
const HORIZON_MS = 5_000;
const CALLS_IN_STOCK = 4n;
/** After this long half of what was is forgotten. */
const HALF_LIFE_MS = 10_000;
/** Scopes whose demand is remembered; about 200 bytes each. */
const MAX_SCOPES = 100_000;

interface Stream {
  /** Units that were asked for lately, the older the less. */
  recent: number;
  /** The largest lately. */
  unit: bigint;
  unitAt: number;
  notedAt: number;
}

/** How much calls ask for lately, by scope. An estimate that decides about stock only, never about money. */
export class Demand {
  readonly #streams = new Map<string, Stream>();

  note(key: string, amount: bigint, at: number): void {
    const stream = this.#streams.get(key);
    if (stream === undefined) {
      if (this.#streams.size >= MAX_SCOPES) this.#streams.clear();
      this.#streams.set(key, { recent: Number(amount), unit: amount, unitAt: at, notedAt: at });
      return;
    }
    stream.recent = stream.recent * fade(at - stream.notedAt) + Number(amount);
    stream.notedAt = Math.max(at, stream.notedAt);
    if (amount >= stream.unit || at - stream.unitAt > HALF_LIFE_MS) {
      stream.unit = amount;
      stream.unitAt = at;
    }
  }

  of(key: string, now: number): { readonly unit: bigint; readonly wanted: bigint } {
    const stream = this.#streams.get(key);
    if (stream === undefined) return { unit: 0n, wanted: 0n };
    const perMs = (stream.recent * fade(now - stream.notedAt) * Math.LN2) / HALF_LIFE_MS;
    const { unit } = stream;
    return { unit, wanted: unit * CALLS_IN_STOCK + BigInt(Math.ceil(perMs * HORIZON_MS)) };
  }

  forget(key: string): void {
    this.#streams.delete(key);
  }
}

const fade = (ageMs: number): number => 2 ** (-Math.max(0, ageMs) / HALF_LIFE_MS);
