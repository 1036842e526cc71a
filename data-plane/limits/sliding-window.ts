const SLOTS = 60;

/**
 * Adds up what happened in the last stretch of time, in sixty slots. A slot counts until all of it is past, so that in no
 * stretch of that length, wherever it begins, more than the limit is let through: a window that starts anew on the minute
 * would let twice as much through around it.
 */
export class SlidingWindow {
  readonly #slotMs: number;
  readonly #amounts = new Float64Array(SLOTS + 1);
  #newestSlot = Number.NEGATIVE_INFINITY;
  #sum = 0;

  /** @param lengthMs of the stretch */
  constructor(lengthMs: number) {
    this.#slotMs = lengthMs / SLOTS;
  }

  /** @returns what the window holds now */
  sum(nowMs: number): number {
    this.#moveTo(this.#slotAt(nowMs));
    return this.#sum;
  }

  /** @returns the slot that took it, for {@link correct} */
  add(nowMs: number, amount: number): number {
    // A clock that was set back must not bring old slots to life.
    const slot = Math.max(this.#slotAt(nowMs), this.#newestSlot);
    this.#moveTo(slot);
    this.#put(slot, amount);
    return slot;
  }

  /** Changes what was added by that much; what left the window since changes nothing. */
  correct(slot: number, nowMs: number, difference: number): void {
    this.#moveTo(this.#slotAt(nowMs));
    if (this.#newestSlot - slot <= SLOTS) this.#put(slot, difference);
  }

  /**
   * @param room that is wanted, at most the limit
   * @returns milliseconds until the sum is at most `limit - room` if nothing is added; 0 where it is now
   */
  waitFor(limit: number, room: number, nowMs: number): number {
    let sum = this.sum(nowMs);
    for (let slot = this.#newestSlot - SLOTS; sum > limit - room && slot <= this.#newestSlot; slot += 1) {
      sum -= this.#amounts[indexOf(slot)] ?? 0;
      if (sum <= limit - room) return Math.max(1, Math.ceil((slot + SLOTS + 1) * this.#slotMs - nowMs));
    }
    return 0;
  }

  /** @returns milliseconds until some of what it holds is past; undefined where it holds nothing */
  freeInMs(nowMs: number): number | undefined {
    if (this.sum(nowMs) === 0) return undefined;
    for (let slot = this.#newestSlot - SLOTS; slot <= this.#newestSlot; slot += 1) {
      if ((this.#amounts[indexOf(slot)] ?? 0) > 0)
        return Math.max(1, Math.ceil((slot + SLOTS + 1) * this.#slotMs - nowMs));
    }
    return undefined;
  }

  get isEmpty(): boolean {
    return this.#sum === 0;
  }

  #slotAt(nowMs: number): number {
    return Math.floor(nowMs / this.#slotMs);
  }

  #put(slot: number, amount: number): void {
    const index = indexOf(slot);
    this.#amounts[index] = (this.#amounts[index] ?? 0) + amount;
    this.#sum += amount;
  }

  /** Empties the slots that are past. */
  #moveTo(slot: number): void {
    if (slot <= this.#newestSlot) return;
    const past = Math.min(slot - this.#newestSlot, SLOTS + 1);
    for (let step = 0; step < past; step += 1) {
      const index = indexOf(slot - step);
      this.#sum -= this.#amounts[index] ?? 0;
      this.#amounts[index] = 0;
    }
    this.#newestSlot = slot;
  }
}

function indexOf(slot: number): number {
  return ((slot % (SLOTS + 1)) + SLOTS + 1) % (SLOTS + 1);
}
