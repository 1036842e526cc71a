/** Asks for a name. Names, owners and fingerprints are keyed hashes or random: a store learns nothing from them. */
export interface EntryClaim {
  /** base64url */
  readonly name: string;
  /** {@link OWNER_BYTES} random bytes: who may renew, fulfil or give up the claim. */
  readonly owner: Buffer;
  /** {@link FINGERPRINT_BYTES} bytes that stand for what is asked. */
  readonly fingerprint: Buffer;
}

/** What stands under a name that is not free. */
export interface Entry {
  readonly fingerprint: Buffer;
  /** Undefined while somebody works on it. */
  readonly sealed: Buffer | undefined;
}

export const OWNER_BYTES = 16;
export const FINGERPRINT_BYTES = 32;
/** What an entry takes beside its sealed bytes, about. */
export const ENTRY_OVERHEAD_BYTES = 256;

/**
 * Sealed answers by name, for a while, within a bound of bytes. A claim lasts for a few seconds unless it is renewed, so that
 * the death of its owner sets the name free.
 */
export interface EntryStore {
  /**
   * @returns what stands there; undefined where the name was free and is claimed now
   * @throws StoreUnavailableError, like all others here
   */
  claim(claim: EntryClaim): Promise<Entry | undefined>;
  /** @returns what stands there; undefined where the name is free */
  find(name: string): Promise<Entry | undefined>;
  /** Before {@link CLAIM_MS} are over. */
  renew(claims: readonly EntryClaim[]): Promise<void>;
  /** Takes the claim's place, or a free name's; not somebody else's. The oldest entries make room. */
  keep(claim: EntryClaim, sealed: Buffer, ttlMs: number): Promise<void>;
  /** Sets the name free. */
  release(claim: EntryClaim): Promise<void>;
  /** Removes what is kept, if it is that. */
  remove(name: string, fingerprint: Buffer): Promise<void>;
  close(): void;
}

/** How long a claim stands without being renewed. */
export const CLAIM_MS = 10_000;

/** The store cannot be asked now; calls go on without it. */
export class StoreUnavailableError extends Error {
  constructor(cause: unknown) {
    super('the store of answers cannot be reached', { cause });
    this.name = 'StoreUnavailableError';
  }
}
