import { ENTRY_OVERHEAD_BYTES, type Entry, type EntryClaim, type EntryStore } from './entry-store.js';

interface Held extends Entry {
  readonly owner: Buffer;
  /** Milliseconds since 1970; what is worked on is this process's own and ends with it. */
  readonly expiresAt: number;
}

const SWEEP_MS = 5_000;

/** Entries of this process alone. */
export function createLocalEntries({
  maxBytes,
  clock = Date.now,
}: {
  readonly maxBytes: number;
  readonly clock?: () => number;
}): EntryStore {
  /** In the order in which they came. */
  const held = new Map<string, Held>();
  let bytes = 0;

  function drop(name: string): void {
    const sealed = held.get(name)?.sealed;
    if (sealed !== undefined) bytes -= sealed.length + ENTRY_OVERHEAD_BYTES;
    held.delete(name);
  }

  function find(name: string): Held | undefined {
    const found = held.get(name);
    if (found === undefined || found.expiresAt > clock()) return found;
    drop(name);
    return undefined;
  }

  const isOwn = ({ name, owner }: EntryClaim): boolean => {
    const found = find(name);
    return found?.sealed === undefined && found?.owner.equals(owner) === true;
  };

  function makeRoom(): void {
    for (const [name, { sealed }] of held) {
      if (bytes <= maxBytes) return;
      if (sealed !== undefined) drop(name);
    }
  }

  const sweep = setInterval(() => {
    for (const name of held.keys()) find(name);
  }, SWEEP_MS).unref();

  return {
    claim: ({ name, owner, fingerprint }) => {
      const found = find(name);
      if (found !== undefined) return Promise.resolve(found);
      held.set(name, { owner, fingerprint, sealed: undefined, expiresAt: Infinity });
      return Promise.resolve(undefined);
    },
    find: (name) => Promise.resolve(find(name)),
    renew: () => Promise.resolve(),
    keep: (claim, sealed, ttlMs) => {
      const { name, owner, fingerprint } = claim;
      if (find(name) !== undefined && !isOwn(claim)) return Promise.resolve();
      drop(name);
      held.set(name, { owner, fingerprint, sealed, expiresAt: clock() + ttlMs });
      bytes += sealed.length + ENTRY_OVERHEAD_BYTES;
      makeRoom();
      return Promise.resolve();
    },
    release: (claim) => {
      if (isOwn(claim)) drop(claim.name);
      return Promise.resolve();
    },
    remove: (name, fingerprint) => {
      const found = find(name);
      if (found?.sealed !== undefined && found.fingerprint.equals(fingerprint)) drop(name);
      return Promise.resolve();
    },
    close: () => {
      clearInterval(sweep);
      held.clear();
    },
  };
}
