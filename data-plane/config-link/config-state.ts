import type { ConfigHeader, ConfigPosition } from '@pingtoken/shared/config-snapshot';
import { unseal, type SealingPair } from '@pingtoken/shared/crypto';
import type { Account, Catalogue } from '../snapshot.js';
import { createAccountTables } from './accounts.js';
import { createCatalogue, type CatalogueObject } from './catalogue.js';
import type { BrokenObject, Entry, Standpoint } from './verify.js';

/**
 * One state of the config. A snapshot fills a new one behind the scenes; a delta changes the one in force. Entries must
 * have been verified before {@link ConfigState.commit}.
 */
export interface ConfigState {
  /** Undefined before the first {@link commit}. */
  readonly standpoint: Standpoint | undefined;
  readonly catalogue: Catalogue | undefined;
  /** When the control plane made the last document, milliseconds since 1970. */
  readonly issuedAt: number | undefined;
  /** Objects that were published in a form that this release cannot read, by kind and id. */
  readonly broken: ReadonlyMap<string, BrokenObject>;
  findAccount(keyHash: string): Account | undefined;
  findObject(kind: string, id: string): CatalogueObject | undefined;
  apply(entry: Entry): void;
  /** Brings what was applied into force, as one new generation of the catalogue. */
  commit(header: ConfigHeader, chain: string): void;
}

export interface ConfigStateOptions {
  readonly sealing: SealingPair;
  /** The state in force, from which a new one takes opened keys and the last good form of objects that are now broken. */
  readonly previous?: ConfigState | undefined;
}

export function createConfigState({ sealing, previous }: ConfigStateOptions): ConfigState {
  const accounts = createAccountTables();
  const objects = new Map<string, CatalogueObject>();
  const contentKeys = new Map<string, Uint8Array>();
  const broken = new Map<string, BrokenObject>();
  let standpoint: Standpoint | undefined;
  let catalogue: Catalogue | undefined;
  let issuedAt: number | undefined;
  let catalogueChanged = true;

  function put(entry: Extract<Entry, { type: 'object' }>): void {
    const { object } = entry;
    if (object.kind === 'api-key' || object.kind === 'tenant' || object.kind === 'member') {
      accounts.put(object);
      return;
    }
    objects.set(keyOf(object.kind, object.id), object);
    catalogueChanged = true;
  }

  function remove(kind: string, id: string): void {
    accounts.remove(kind, id);
    if (objects.delete(keyOf(kind, id))) catalogueChanged = true;
  }

  /**
   * What cannot be read stands in nobody else's way. Objects that grant access are taken away, for the unreadable form may
   * be their revocation; of the others the last good form stays in force.
   */
  function setAside(entry: BrokenObject): void {
    broken.set(keyOf(entry.kind, entry.id), entry);
    accounts.remove(entry.kind, entry.id);
    const lastGood = previous?.findObject(entry.kind, entry.id);
    if (standpoint === undefined && lastGood !== undefined) objects.set(keyOf(entry.kind, entry.id), lastGood);
  }

  return {
    get standpoint() {
      return standpoint;
    },
    get catalogue() {
      return catalogue;
    },
    get issuedAt() {
      return issuedAt;
    },
    broken,
    findAccount: (keyHash) => accounts.find(keyHash),
    findObject: (kind, id) => objects.get(keyOf(kind, id)),
    apply: (entry) => {
      if (entry.type === 'broken') {
        setAside(entry);
        return;
      }
      if (entry.type === 'object') {
        broken.delete(keyOf(entry.object.kind, entry.object.id));
        put(entry);
      } else if (entry.type === 'deleted') {
        broken.delete(keyOf(entry.kind, entry.id));
        remove(entry.kind, entry.id);
      }
    },
    commit: (header, chain) => {
      if (openContentKeys({ header, sealing, into: contentKeys })) catalogueChanged = true;
      const position: ConfigPosition = header.target;
      catalogue =
        catalogueChanged || catalogue === undefined
          ? createCatalogue({ position, objects: objects.values(), contentKeys: new Map(contentKeys) })
          : { ...catalogue, position };
      catalogueChanged = false;
      standpoint = { position, chain };
      issuedAt = header.issuedAt;
      // The old state would otherwise stay in memory behind its successor for ever.
      previous = undefined;
    },
  };
}

function keyOf(kind: string, id: string): string {
  return `${kind} ${id.toLowerCase()}`;
}

interface OpenContentKeys {
  readonly header: ConfigHeader;
  readonly sealing: SealingPair;
  readonly into: Map<string, Uint8Array>;
}

/** @returns whether there is a new one. One that is not ours to open leaves its credentials unusable, and nothing else. */
function openContentKeys({ header, sealing, into }: OpenContentKeys): boolean {
  let opened = false;
  for (const { id, sealed } of header.contentKeys) {
    if (into.has(id)) continue;
    try {
      into.set(id, unseal(sealing, Buffer.from(sealed, 'base64url')));
      opened = true;
    } catch {
      continue;
    }
  }
  return opened;
}
