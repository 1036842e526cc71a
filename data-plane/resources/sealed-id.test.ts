import { randomBytes, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createIdSealer, idSealerOf, type KeptKind, type KeptThing } from './sealed-id.js';

const ours = createIdSealer(randomBytes(32).toString('base64url'));
const theirs = createIdSealer(randomBytes(32).toString('base64url'));
const FILES: readonly KeptKind[] = ['file', 'batch-input', 'batch-output'];

function thing(change: Partial<KeptThing> = {}): KeptThing {
  return {
    kind: 'response',
    providerId: randomUUID(),
    credentialId: randomUUID(),
    model: 'vendor/modèle',
    rawId: `resp_${randomBytes(25).toString('hex')}`,
    parentId: undefined,
    ...change,
  };
}

describe('a sealed id', () => {
  it('opens to what it was made of, and is the same each time', () => {
    const kept = thing();
    const id = ours.seal(kept);
    expect(id).toMatch(/^resp_[A-Za-z0-9_-]+$/);
    expect(ours.open(id, ['response'])).toEqual(kept);
    expect(ours.seal(kept)).toBe(id);
    const output = thing({ kind: 'batch-output', rawId: 'file-1', parentId: 'batch_1' });
    expect(ours.open(ours.seal(output), FILES)).toEqual(output);
  });

  it('shows nothing of the raw id, of provider, account or model', () => {
    const kept = thing();
    const decoded = Buffer.from(ours.seal(kept).slice('resp_'.length), 'base64url').toString('latin1');
    for (const part of [kept.rawId, kept.model, 'resp_']) expect(decoded).not.toContain(part);
  });

  it('of an account of another tenant is none of ours', () => {
    const kept = thing();
    expect(ours.open(theirs.seal(kept), ['response'])).toBeUndefined();
  });

  it('of another kind is none', () => {
    const file = thing({ kind: 'file', rawId: 'file-1' });
    const id = ours.seal(file);
    expect(ours.open(id, ['batch-input'])).toBeUndefined();
    expect(ours.open(id, FILES)).toEqual(file);
    expect(ours.open(`batch_${id.slice('file-'.length)}`, ['batch'])).toBeUndefined();
    expect(ours.open(`resp_${id.slice('file-'.length)}`, ['response', 'file'])).toBeUndefined();
  });

  it.each([undefined, null, 7, '', 'resp_', 'file-abc', 'resp_ab%2F', `resp_${'a'.repeat(3_000)}`, ['resp_a']])(
    'is not %j',
    (id) => {
      expect(ours.open(id, ['response', 'file', 'batch'])).toBeUndefined();
    },
  );

  it('that was changed in any of its characters, cut or lengthened is none', () => {
    const id = ours.seal(thing());
    const characters = fc.constantFrom('A', 'B', 'Q', 'g', 'z', '0', '9', '-', '_');
    fc.assert(
      fc.property(fc.integer({ min: 5, max: id.length - 1 }), characters, (at, character) => {
        fc.pre(id[at] !== character);
        expect(ours.open(id.slice(0, at) + character + id.slice(at + 1), ['response'])).toBeUndefined();
      }),
    );
    expect(ours.open(id.slice(0, -4), ['response'])).toBeUndefined();
    for (const more of ['A', 'AA', 'AAAA', '=']) expect(ours.open(id + more, ['response'])).toBeUndefined();
  });

  it('needs a key of the tenant', () => {
    expect(idSealerOf({ pseudonymKey: null })).toBeUndefined();
    const tenant = { pseudonymKey: 'k'.repeat(43) };
    expect(idSealerOf(tenant)).toBe(idSealerOf(tenant));
  });
});

describe('a tag', () => {
  it('is one for each tenant and provider', () => {
    const provider = randomUUID();
    expect(ours.tag(provider)).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(ours.tag(provider)).toBe(ours.tag(provider));
    expect(ours.tag(provider)).not.toBe(theirs.tag(provider));
    expect(ours.tag(provider)).not.toBe(ours.tag(randomUUID()));
  });
});

describe('a sealed text', () => {
  it('is read again by its tenant alone', () => {
    const sealed = ours.sealText('{"project":"Ärger"}');
    expect(ours.openText(sealed)).toBe('{"project":"Ärger"}');
    expect(theirs.openText(sealed)).toBeUndefined();
    expect(ours.openText('')).toBeUndefined();
  });
});
