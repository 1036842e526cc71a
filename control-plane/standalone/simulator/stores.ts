import type { Chunk } from './payload.js';

/** What a provider keeps for its customers between calls, in memory, for as long as the simulator runs. */
export interface Stores {
  readonly files: Shelf<KeptFile>;
  readonly batches: Shelf<KeptBatch>;
  readonly uploads: Shelf<KeptUpload>;
  readonly responses: Shelf<KeptResponse>;
}

export interface KeptFile {
  readonly id: string;
  readonly name: string;
  readonly purpose: string;
  readonly createdAt: number;
  readonly bytes: Buffer;
}

export interface KeptBatch {
  readonly id: string;
  readonly endpoint: string;
  readonly inputFileId: string;
  readonly createdAt: number;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly status: 'validating' | 'in_progress' | 'completed' | 'cancelled' | 'failed';
  /** How many more times it is shown in progress before it is done. */
  readonly polls: number;
  readonly result: object;
}

export interface KeptUpload {
  readonly id: string;
  readonly name: string;
  readonly purpose: string;
  readonly bytes: number;
  readonly createdAt: number;
  readonly status: 'pending' | 'completed' | 'cancelled';
  readonly parts: ReadonlyMap<string, Buffer>;
}

export interface KeptResponse {
  readonly id: string;
  /** As it is when it is over. */
  readonly shown: object;
  /** What was said for it, each with an id. */
  readonly input: readonly StoredItem[];
  readonly output: readonly StoredItem[];
  /** Everything said up to and with it, in the form of input items. */
  readonly items: readonly unknown[];
  /** Of one that is made in the background and was not streamed: how many more times it is shown in progress. */
  readonly pendingPolls: number | undefined;
  /** Its events, which may be asked for again. */
  readonly events: () => Iterable<Chunk>;
}

export interface StoredItem {
  readonly id: string;
}

/** Things by their ids, in the order in which they were first put. */
export interface Shelf<T extends { readonly id: string }> {
  /** A new id, never used before: `prefix` and a number. */
  readonly newId: (prefix: string) => string;
  readonly put: (thing: T) => T;
  readonly get: (id: string) => T | undefined;
  readonly remove: (id: string) => boolean;
  readonly list: () => T[];
}

/** The oldest things give way where more than `keep` (default 1000) are put. */
function createShelf<T extends { readonly id: string }>(keep = 1000): Shelf<T> {
  const things = new Map<string, T>();
  let count = 0;
  return {
    newId: (prefix) => {
      count += 1;
      return `${prefix}-sim${count}`;
    },
    put: (thing) => {
      things.set(thing.id, thing);
      const [oldest] = things.keys();
      if (things.size > keep && oldest !== undefined) things.delete(oldest);
      return thing;
    },
    get: (id) => things.get(id),
    remove: (id) => things.delete(id),
    list: () => [...things.values()],
  };
}

export function createStores(): Stores {
  return { files: createShelf(), batches: createShelf(), uploads: createShelf(), responses: createShelf() };
}
