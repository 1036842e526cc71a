import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { readVerifyKey } from '@pingtoken/shared/crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { ConfigJournal, createTestIdentity, type Draft } from '../../test/kit/config-documents.js';
import { DocumentFault, verifyDelta, type Standpoint } from './verify.js';

const tenant = (id = randomUUID()): Draft => ({
  kind: 'tenant',
  id,
  status: 'active',
  grantedProviderIds: [randomUUID()],
});

describe('verifyDelta', () => {
  const identity = createTestIdentity();
  let journal: ConfigJournal;
  let base: Standpoint;

  beforeEach(() => {
    journal = new ConfigJournal();
    journal.publish(tenant(), tenant());
    base = { position: journal.position, chain: journal.chain };
    journal.publish(
      tenant(),
      { kind: 'tenant', id: randomUUID(), deleted: true },
      { kind: 'spaceship', id: randomUUID(), warp: 9 },
    );
  });

  const check = (document: string, from = base, verifyKey = journal.verifyKey) =>
    verifyDelta(Buffer.from(document), { verifyKey: readVerifyKey(verifyKey), dataPlaneId: identity.id, base: from });
  const refused = async (document: string, message: RegExp, from = base): Promise<void> => {
    const fault = await check(document, from).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(DocumentFault);
    expect((fault as DocumentFault).message).toMatch(message);
  };

  it('reads objects, deletions and kinds of a later release, with or without the last newline', async () => {
    const document = journal.delta(identity, 2);
    for (const text of [document, document.trimEnd()]) {
      const { header, end, entries } = await check(text);
      expect(entries.map(({ type }) => type)).toEqual(['object', 'deleted', 'unknown']);
      expect(header.target).toEqual({ epoch: 1, seq: 5 });
      expect(end.chain).toBe(journal.chain);
    }
  });

  it('reads a delta of many pieces as it reads a small one', async () => {
    for (let count = 0; count < 3000; count += 1) journal.publish(tenant());
    const { entries } = await check(journal.delta(identity, 2));
    expect(entries).toHaveLength(3003);
  });

  it('takes an empty delta', async () => {
    expect((await check(journal.delta(identity, 2, 2))).entries).toEqual([]);
  });

  it('refuses any change of any byte', async () => {
    const bytes = Buffer.from(journal.delta(identity, 2).trimEnd());
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ change;
        const options = { verifyKey: readVerifyKey(journal.verifyKey), dataPlaneId: identity.id, base };
        const outcome = await verifyDelta(changed, options).catch((error: unknown) => error);
        if (outcome instanceof DocumentFault) return;
        // Base64url has spare bits in the signature's last character. What is accepted must mean the same.
        const { header, entries, end } = await check(bytes.toString());
        expect(outcome).toMatchObject({ header, entries, end: { chain: end.chain, digest: end.digest } });
      }),
      { numRuns: 400 },
    );
  });

  it('refuses a document cut at any byte', async () => {
    const document = journal.delta(identity, 2).trimEnd();
    for (let length = 0; length < document.length; length += 7) {
      await expect(check(document.slice(0, length))).rejects.toBeInstanceOf(DocumentFault);
    }
  });

  it('refuses a dropped change, even when the sender signed without it', async () => {
    const [header = '', first = '', , third = ''] = journal.delta(identity, 2).split('\n');
    await refused(journal.signDocument([header, first, third], journal.chain), /chain/);
  });

  it('refuses changes in another order, even when signed', async () => {
    const [header = '', first = '', second = '', third = ''] = journal.delta(identity, 2).split('\n');
    await refused(journal.signDocument([header, second, first, third], journal.chain), /order/);
  });

  it('refuses a signature of somebody else', async () => {
    const stranger = new ConfigJournal();
    await expect(check(journal.delta(identity, 2), base, stranger.verifyKey)).rejects.toThrow(/signature/);
  });

  it('refuses a document for another data plane', async () => {
    await refused(journal.delta(createTestIdentity(), 2), /another data plane/);
  });

  it('refuses a snapshot where a delta is due', async () => {
    await refused(journal.snapshot(identity), /snapshot/);
  });

  it('tells a delta that starts elsewhere from a false one: a snapshot mends it', async () => {
    for (const document of [journal.delta(identity, 1), journal.delta(identity, 3)]) {
      await expect(check(document)).rejects.toMatchObject({ fault: 'base' });
    }
    const forked: Standpoint = { ...base, chain: Buffer.alloc(32, 7).toString('base64url') };
    await expect(check(journal.delta(identity, 2), forked)).rejects.toMatchObject({ fault: 'base' });
  });

  it('sets a signed object aside that it cannot read, naming the field and not the value', async () => {
    const broken = { kind: 'tenant', id: randomUUID(), status: 'secret-value', grantedProviderIds: [] };
    journal.publish(broken, tenant());
    const { entries } = await check(journal.delta(identity, 2));
    expect(entries.at(-2)).toMatchObject({ type: 'broken', kind: 'tenant', id: broken.id });
    expect(JSON.stringify(entries.at(-2))).toContain('status');
    expect(JSON.stringify(entries.at(-2))).not.toContain('secret-value');
    expect(entries.at(-1)?.type).toBe('object');
  });
});
