import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { parse as parseUuid, stringify as formatUuid } from 'uuid';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { decrypt, encrypt } from '@pingtoken/shared/crypto';

/**
 * What a provider keeps for us between calls lies in an account that many tenants share, and whoever knows its id there can
 * read it. So a caller never sees such an id: it gets one that is sealed under a key of its tenant, and says which account it
 * is of. A foreign id, a raw one and one of another kind cannot be opened, which is known before anything is sent.
 */
export interface KeptThing {
  readonly kind: KeptKind;
  readonly providerId: string;
  readonly credentialId: string;
  /** Alias of the model that it was made by or for. */
  readonly model: string;
  /** The provider's own id. */
  readonly rawId: string;
  /** What it came from or is for: of an output file its batch, of a part its upload, of a batch's input the path. */
  readonly parentId?: string | undefined;
}

/**
 * `item` is one of a response's input or output, `audio` an answer that was spoken. `batch-input` is a file whose every line was judged, and the only kind that a batch can be made of; `batch-output` is one
 * that a batch is billed from.
 */
const KINDS = {
  file: { code: 1, prefix: 'file-' },
  'batch-input': { code: 2, prefix: 'file-' },
  'batch-output': { code: 3, prefix: 'file-' },
  upload: { code: 4, prefix: 'upload_' },
  part: { code: 5, prefix: 'part_' },
  batch: { code: 6, prefix: 'batch_' },
  response: { code: 7, prefix: 'resp_' },
  // Of an item's id the vendor's own prefix stays, by which clients and providers tell what it is of.
  item: { code: 8, prefix: '' },
  audio: { code: 9, prefix: 'audio_' },
} as const;
export type KeptKind = keyof typeof KINDS;

export interface IdSealer {
  /** The same thing has the same id each time. */
  seal(thing: KeptThing): string;
  /** @returns undefined where it is none of this tenant's of these kinds */
  open(id: unknown, kinds: readonly KeptKind[]): KeptThing | undefined;
  /** 22 characters that mark what is this tenant's in the lists of one provider, and mean nothing elsewhere. */
  tag(providerId: string): string;
  /** base64url; what only this tenant's calls can read again. */
  sealText(text: string): string;
  openText(sealed: string): string | undefined;
}

interface TenantKeys {
  readonly id: KeyObject;
  readonly nonce: KeyObject;
  readonly tag: KeyObject;
  readonly text: Buffer;
}

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const UUID_BYTES = 16;
const HEAD_BYTES = 1 + 2 * UUID_BYTES + 2;
/** Beyond the longest model alias and the longest ids that providers give. */
const MAX_ID_CHARACTERS = 2_048;
const PARENT_SEPARATOR = '\n';

const sealers = new WeakMap<object, IdSealer>();

/** @returns undefined where the tenant has no key to make them from: it came from an older control plane */
export function idSealerOf(tenant: Pick<ConfigObjectOf<'tenant'>, 'pseudonymKey'>): IdSealer | undefined {
  const { pseudonymKey } = tenant;
  if (pseudonymKey === null) return undefined;
  let sealer = sealers.get(tenant);
  if (sealer === undefined) {
    sealer = createIdSealer(pseudonymKey);
    sealers.set(tenant, sealer);
  }
  return sealer;
}

/** @param pseudonymKey 32 bytes, base64url */
export function createIdSealer(pseudonymKey: string): IdSealer {
  const keys = deriveKeys(pseudonymKey);
  return {
    seal: (thing) => prefixOf(thing) + sealBytes(keys, encode(thing)).toString('base64url'),
    open: (id, kinds) => {
      if (typeof id !== 'string' || id.length > MAX_ID_CHARACTERS) return undefined;
      const prefix = kinds.map((kind) => prefixOf({ kind, rawId: id })).find((each) => id.startsWith(each));
      const sealed = prefix === undefined ? '' : id.slice(prefix.length);
      const bytes = Buffer.from(sealed, 'base64url');
      // One thing has one id: no other spelling of the same bytes.
      if (sealed === '' || bytes.toString('base64url') !== sealed) return undefined;
      const plain = openBytes(keys, bytes);
      const thing = plain === undefined ? undefined : decode(plain);
      return thing !== undefined && kinds.includes(thing.kind) && prefixOf(thing) === prefix ? thing : undefined;
    },
    tag: (providerId) =>
      createHmac('sha256', keys.tag).update(providerId).digest().subarray(0, TAG_BYTES).toString('base64url'),
    sealText: (text) => encrypt(keys.text, text, TEXT_CONTEXT).toString('base64url'),
    openText: (sealed) => {
      try {
        return decrypt(keys.text, Buffer.from(sealed, 'base64url'), TEXT_CONTEXT).toString();
      } catch {
        return undefined;
      }
    },
  };
}

/** Of an item what stands before its own id. */
function prefixOf({ kind, rawId }: Pick<KeptThing, 'kind' | 'rawId'>): string {
  return kind === 'item' ? rawId.slice(0, rawId.indexOf('_') + 1) : KINDS[kind].prefix;
}

const TEXT_CONTEXT = 'kept-text';

/** RFC 5869: a key for each use, so that none of them can stand in for another. */
function deriveKeys(pseudonymKey: string): TenantKeys {
  const secret = Buffer.from(pseudonymKey, 'base64url');
  const derive = (use: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, '', `pingtoken kept things: ${use}`, KEY_BYTES));
  return {
    id: createSecretKey(derive('id')),
    nonce: createSecretKey(derive('nonce')),
    tag: createSecretKey(derive('tag')),
    text: derive('text'),
  };
}

/**
 * AES-256-GCM with a nonce made from the plaintext, as in RFC 8452: one nonce stands for one plaintext, so that a thing that
 * is asked for again has the id that the caller knows it by.
 */
function sealBytes(keys: TenantKeys, plain: Buffer): Buffer {
  const nonce = createHmac('sha256', keys.nonce).update(plain).digest().subarray(0, NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keys.id, nonce);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function openBytes(keys: TenantKeys, sealed: Buffer): Buffer | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES + HEAD_BYTES) return undefined;
  try {
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', keys.id, nonce, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined;
  }
}

function encode({ kind, providerId, credentialId, model, rawId, parentId }: KeptThing): Buffer {
  const alias = Buffer.from(model);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(alias.length);
  const ids = parentId === undefined ? rawId : rawId + PARENT_SEPARATOR + parentId;
  const parts = [parseUuid(providerId), parseUuid(credentialId), length, alias, Buffer.from(ids)];
  return Buffer.concat([Buffer.of(KINDS[kind].code), ...parts]);
}

function decode(plain: Buffer): KeptThing | undefined {
  const kind = kindOf(plain[0]);
  if (kind === undefined) return undefined;
  const modelEnd = HEAD_BYTES + plain.readUInt16BE(HEAD_BYTES - 2);
  const [rawId = '', parentId] = plain.toString('utf8', modelEnd).split(PARENT_SEPARATOR, 2);
  return {
    kind,
    providerId: formatUuid(plain, 1),
    credentialId: formatUuid(plain, 1 + UUID_BYTES),
    model: plain.toString('utf8', HEAD_BYTES, modelEnd),
    rawId,
    parentId,
  };
}

function kindOf(code: number | undefined): KeptKind | undefined {
  const found = Object.entries(KINDS).find(([, kind]) => kind.code === code);
  return found?.[0] as KeptKind | undefined;
}
