import { randomUUID } from 'node:crypto';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { readVerifyKey, sha256 } from '@pingtoken/shared/crypto';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigJournal, createTestIdentity, type Draft } from '../../test/kit/config-documents.js';
import { openConfigFiles, type ConfigFiles } from './config-files.js';
import { ConfigKeeper } from './config-keeper.js';

const identity = createTestIdentity();
const tenantId = randomUUID();
const memberId = randomUUID();
const keyId = randomUUID();
const otherKeyId = randomUUID();
const providerId = randomUUID();
const credentialId = randomUUID();
const modelId = randomUUID();
const pseudonymKey = Buffer.alloc(32, 9).toString('base64url');

const key = (status: 'active' | 'revoked', id = keyId): Draft => ({
  kind: 'api-key',
  id,
  tenantId,
  memberId,
  hash: sha256(id),
  status,
  expiresAt: null,
});
const PROVIDER: ConfigObjectOf<'provider'> = {
  kind: 'provider',
  id: providerId,
  seq: 1,
  slug: 'provider',
  baseUrl: 'https://provider.example/v1',
  dialect: 'openai',
  auth: 'bearer',
  region: null,
  status: 'active',
};
const model = (name: string): Draft => ({
  kind: 'model',
  id: modelId,
  name,
  operations: ['chat-completions'],
  capabilities: [],
  contextWindow: null,
  maxOutputTokens: null,
  status: 'active',
  createdAt: 1,
  priceCardId: null,
});

describe('the config keeper', () => {
  let folder: string;
  let journal: ConfigJournal;
  let files: ConfigFiles;
  let keeper: ConfigKeeper;

  async function restart(): Promise<void> {
    const options = {
      verifyKey: readVerifyKey(journal.verifyKey),
      dataPlaneId: identity.id,
      sealing: identity.sealing,
    };
    files = await openConfigFiles({ ...options, folder });
    keeper = new ConfigKeeper({ ...options, files, logger: pino({ level: 'silent' }) });
    await keeper.loadFromDisk();
  }
  async function takeSnapshot(document = journal.snapshot(identity)) {
    await writeFile(files.incomingPath, document, { mode: 0o600 });
    return keeper.takeSnapshot();
  }
  const takeDelta = (from = keeper.state?.standpoint?.position.seq ?? 0) =>
    keeper.takeDelta(Buffer.from(journal.delta(identity, from)));
  const statusOf = (id: string) => keeper.state?.findAccount(sha256(id))?.apiKey.status;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'config-keeper-'));
    journal = new ConfigJournal();
    journal.publish(
      {
        ...{ kind: 'tenant', id: tenantId, status: 'active', grantedProviderIds: [providerId] },
        ...{ endUsers: 'pseudonym', pseudonymKey },
      },
      { kind: 'member', id: memberId, tenantId, sealingKey: Buffer.alloc(32, 5).toString('base64url') },
      key('active'),
      key('active', otherKeyId),
      {
        kind: 'credential',
        id: credentialId,
        providerId,
        tenantId: null,
        origin: 'https://provider.example',
        contentKeyId: journal.contentKeyId,
        sealedSecret: journal.sealSecret(credentialId, 'sk-upstream'),
      },
      model('small'),
    );
    await restart();
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('allows nothing before a verified document is loaded', async () => {
    expect(keeper.state).toBeUndefined();
    expect(await takeDelta()).toEqual({ acks: [], needsSnapshot: 'fault' });
    expect(keeper.state).toBeUndefined();
  });

  it('finds accounts whole, and secrets opened', async () => {
    expect((await takeSnapshot()).acks).toEqual([{ status: 'applied', position: journal.position }]);
    expect(keeper.state?.findAccount(sha256(keyId))).toEqual({
      apiKey: { ...key('active'), seq: 3, limits: null },
      tenant: {
        ...{ kind: 'tenant', id: tenantId, seq: 1, status: 'active', grantedProviderIds: [providerId] },
        ...{ endUsers: 'pseudonym', pseudonymKey, planId: null, limits: null, billingMode: 'prepaid' },
      },
      member: {
        ...{ kind: 'member', id: memberId, seq: 2, tenantId, limits: null },
        sealingKey: Buffer.alloc(32, 5).toString('base64url'),
      },
    });
    expect(keeper.state?.findAccount(sha256('unknown'))).toBeUndefined();
    expect(keeper.state?.findAccount('not a hash')).toBeUndefined();
    expect(keeper.state?.findAccount(`${sha256(keyId)}AAAA`)).toBeUndefined();
    expect(keeper.state?.catalogue?.secretOf(credentialId, tenantId, PROVIDER)).toBe('sk-upstream');
  });

  it('drops end users of a tenant whose control plane gives no key for pseudonyms', async () => {
    await takeSnapshot();
    journal.publish({ kind: 'tenant', id: tenantId, status: 'active', grantedProviderIds: [] });
    await takeDelta();
    expect(keeper.state?.findAccount(sha256(keyId))?.tenant).toMatchObject({ endUsers: 'drop', pseudonymKey: null });
  });

  it('gives a credential of one tenant to no other', async () => {
    const id = randomUUID();
    const sealedSecret = journal.sealSecret(id, 'theirs');
    const { contentKeyId } = journal;
    const origin = 'https://provider.example';
    journal.publish({ kind: 'credential', id, providerId, tenantId, origin, contentKeyId, sealedSecret });
    await takeSnapshot();
    expect(keeper.state?.catalogue?.secretOf(id, tenantId, PROVIDER)).toBe('theirs');
    expect(keeper.state?.catalogue?.secretOf(id, randomUUID(), PROVIDER)).toBeUndefined();
  });

  it('gives a credential to no other host than the one it was saved for', async () => {
    await takeSnapshot();
    const secretFor = (baseUrl: string): string | undefined =>
      keeper.state?.catalogue?.secretOf(credentialId, tenantId, { ...PROVIDER, baseUrl });
    expect(secretFor('https://provider.example/another/path')).toBe('sk-upstream');
    for (const moved of [
      'https://provider.example.evil/v1',
      'http://provider.example',
      'https://provider.example:444',
    ]) {
      expect(secretFor(moved)).toBeUndefined();
    }
  });

  it('leaves a call the catalogue that it was admitted under', async () => {
    await takeSnapshot();
    const admittedUnder = keeper.state?.catalogue;
    journal.publish(model('large'));
    await takeDelta();
    expect([...(admittedUnder?.models.keys() ?? [])]).toEqual(['small']);
    expect([...(keeper.state?.catalogue?.models.keys() ?? [])]).toEqual(['large']);
    expect(admittedUnder?.position.seq).toBe(6);
    expect(keeper.state?.catalogue?.position.seq).toBe(7);
  });

  it('never lets a revoked key come back: not by a restart, not by an older snapshot', async () => {
    await takeSnapshot();
    const older = journal.snapshot(identity);
    journal.publish(key('revoked'));
    expect((await takeDelta()).acks).toEqual([{ status: 'applied', position: journal.position }]);
    expect(statusOf(keyId)).toBe('revoked');
    await restart();
    expect(statusOf(keyId)).toBe('revoked');
    const taken = await takeSnapshot(older);
    expect(taken.acks).toMatchObject([{ status: 'refused', reason: expect.stringContaining('older') }]);
    expect(statusOf(keyId)).toBe('revoked');
    await restart();
    expect(statusOf(keyId)).toBe('revoked');
  });

  it('forgets a deleted key, tenant and model', async () => {
    await takeSnapshot();
    journal.publish({ kind: 'api-key', id: keyId, deleted: true }, { kind: 'model', id: modelId, deleted: true });
    await takeDelta();
    expect(statusOf(keyId)).toBeUndefined();
    expect(keeper.state?.catalogue?.models.size).toBe(0);
    journal.publish({ kind: 'tenant', id: tenantId, deleted: true });
    await takeDelta();
    expect(statusOf(otherKeyId)).toBeUndefined();
  });

  it('lets the later of two keys speak for one bearer', async () => {
    journal.publish({ ...key('revoked'), id: keyId }, { ...key('active'), id: randomUUID() });
    await takeSnapshot();
    expect(statusOf(keyId)).toBe('active');
  });

  it('refuses a false delta, keeps the last good state, and goes on from a snapshot', async () => {
    await takeSnapshot();
    journal.publish(key('revoked'));
    const lines = journal.delta(identity, 6).split('\n');
    lines[1] = lines[1]?.replace('revoked', 'active ') ?? '';
    const taken = await keeper.takeDelta(Buffer.from(lines.join('\n')));
    expect(taken.needsSnapshot).toBe('fault');
    expect(taken.acks).toMatchObject([{ status: 'refused', position: { epoch: 1, seq: 6 } }]);
    expect(statusOf(keyId)).toBe('active');
    expect(keeper.state?.catalogue?.position.seq).toBe(6);
    await takeSnapshot();
    expect(statusOf(keyId)).toBe('revoked');
  });

  it('names an object out of order in its refusal', async () => {
    await takeSnapshot();
    journal.publish(key('revoked'), key('active'));
    const [header = '', first = '', second = ''] = journal.delta(identity, 6).split('\n');
    const taken = await keeper.takeDelta(Buffer.from(journal.signDocument([header, second, first], journal.chain)));
    expect(taken.acks).toMatchObject([{ status: 'refused', object: { kind: 'api-key', id: keyId } }]);
  });

  it('does not let one unreadable object block the others, and takes away access that it may have revoked', async () => {
    await takeSnapshot();
    journal.publish(
      { ...key('active'), status: 'frozen' },
      { ...model('small'), operations: ['telepathy'] },
      key('revoked', otherKeyId),
    );
    const taken = await takeDelta();
    expect(taken.needsSnapshot).toBeUndefined();
    expect(taken.acks).toMatchObject([
      { status: 'applied', position: journal.position },
      { status: 'refused', object: { kind: 'api-key', id: keyId } },
      { status: 'refused', object: { kind: 'model', id: modelId } },
    ]);
    for (const again of [() => Promise.resolve(), restart, takeSnapshot]) {
      await again();
      expect(statusOf(keyId)).toBeUndefined();
      expect(statusOf(otherKeyId)).toBe('revoked');
      expect(keeper.state?.catalogue?.models.has('small')).toBe(true);
    }
    journal.publish(key('active'));
    await takeDelta();
    expect(statusOf(keyId)).toBe('active');
    expect(keeper.state?.broken.size).toBe(1);
  });

  it('asks for a snapshot when a delta starts elsewhere, and passes over what it has already', async () => {
    await takeSnapshot();
    journal.publish(model('a'), model('b'));
    expect(await takeDelta(7)).toEqual({ acks: [], needsSnapshot: 'fault' });
    expect(await takeDelta(6)).toMatchObject({ needsSnapshot: undefined, acks: [{ status: 'applied' }] });
    expect(await takeDelta(6)).toEqual({ acks: [], needsSnapshot: undefined });
  });

  it('follows the control plane into a new epoch, and only forward', async () => {
    await takeSnapshot();
    const old = journal.snapshot(identity);
    journal.startNewEpoch(key('revoked'));
    await takeSnapshot();
    expect(keeper.state?.standpoint?.position).toEqual({ epoch: 2, seq: 1 });
    expect((await takeSnapshot(old)).acks).toMatchObject([{ status: 'refused' }]);
    await restart();
    expect(keeper.state?.standpoint?.position).toEqual({ epoch: 2, seq: 1 });
  });

  it('asks for a fresh snapshot when the log of deltas is long, and starts a new log with it', async () => {
    await takeSnapshot();
    for (let count = 1; count < 1000; count += 1) {
      journal.publish(model(`m${count}`));
      expect((await takeDelta()).needsSnapshot).toBeUndefined();
    }
    journal.publish(model('last'));
    expect((await takeDelta()).needsSnapshot).toBe('compaction');
    await restart();
    expect(keeper.state?.standpoint?.position).toEqual(journal.position);
    await takeSnapshot();
    expect(files.log).toEqual({ bytes: 0, documents: 0 });
    await restart();
    expect(keeper.state?.catalogue?.models.has('last')).toBe(true);
  });

  describe('on disk', () => {
    const path = (name: string): string => join(folder, name);

    beforeEach(async () => {
      await takeSnapshot();
      journal.publish(key('revoked'));
      await takeDelta();
      journal.publish(model('large'));
      await takeDelta();
    });

    it('is loaded as it was, with files that nobody else may read and no secret in them', async () => {
      await restart();
      expect(keeper.state?.standpoint).toEqual({ position: journal.position, chain: journal.chain });
      expect(keeper.state?.catalogue?.secretOf(credentialId, tenantId, PROVIDER)).toBe('sk-upstream');
      for (const name of ['snapshot.ndjson', 'deltas.ndjson']) {
        expect((await stat(path(name))).mode & 0o777).toBe(0o600);
        expect(await readFile(path(name), 'utf8')).not.toContain('sk-upstream');
      }
    });

    it('is refused when the snapshot was changed', async () => {
      const text = await readFile(path('snapshot.ndjson'), 'utf8');
      await writeFile(path('snapshot.ndjson'), text.replace('"small"', '"Small"'));
      await restart();
      expect(keeper.state).toBeUndefined();
      await takeSnapshot();
      expect(statusOf(keyId)).toBe('revoked');
    });

    it('is refused when a delta was changed or taken out of the middle', async () => {
      const text = await readFile(path('deltas.ndjson'), 'utf8');
      const documents = text.split(/(?<="signature":"[^"]*"}\n)/);
      expect(documents).toHaveLength(2);
      for (const changed of [
        text.replace('revoked', 'active'),
        documents[1] ?? '',
        text.replace('{"kind":"end"', '{"kind":"enX"'),
        text.replace('{"kind":"end"', '["kind":"end"'),
      ]) {
        await writeFile(path('deltas.ndjson'), changed);
        await restart();
        expect(keeper.state).toBeUndefined();
      }
    });

    it('survives an append that was cut off at any byte: what had been acknowledged is there', async () => {
      const { size } = await stat(path('deltas.ndjson'));
      journal.publish(model('huge'));
      await takeDelta();
      const whole = await readFile(path('deltas.ndjson'));
      for (let length = size; length < whole.length; length += 5) {
        await writeFile(path('deltas.ndjson'), whole.subarray(0, length));
        await restart();
        expect(keeper.state?.standpoint?.position.seq).toBe(8);
        expect(statusOf(keyId)).toBe('revoked');
        expect((await stat(path('deltas.ndjson'))).size).toBe(size);
      }
      expect((await takeDelta()).acks).toMatchObject([{ status: 'applied', position: journal.position }]);
      await restart();
      expect(keeper.state?.standpoint?.position).toEqual(journal.position);
    });

    it('takes old deltas beside a new snapshot, as a crash between the two leaves them', async () => {
      const deltas = await readFile(path('deltas.ndjson'));
      journal.publish(model('huge'));
      await takeSnapshot();
      await writeFile(path('deltas.ndjson'), deltas);
      await restart();
      expect(keeper.state?.standpoint?.position).toEqual(journal.position);
      journal.publish(model('small'));
      await takeDelta();
      await restart();
      expect(keeper.state?.standpoint?.position).toEqual(journal.position);
    });

    it('acknowledges nothing that it cannot keep, enforces it all the same, and mends itself by a snapshot', async () => {
      // A directory in the file's place makes every append fail.
      await rm(path('deltas.ndjson'));
      const { mkdir } = await import('node:fs/promises');
      await mkdir(path('deltas.ndjson'));
      journal.publish(key('revoked', otherKeyId));
      expect(await takeDelta()).toEqual({ acks: [], needsSnapshot: 'fault' });
      expect(statusOf(otherKeyId)).toBe('revoked');
      await rm(path('deltas.ndjson'), { recursive: true });
      journal.publish(model('huge'));
      expect(await takeDelta()).toEqual({ acks: [], needsSnapshot: 'fault' });
      expect((await takeSnapshot()).acks).toMatchObject([{ status: 'applied', position: journal.position }]);
      await restart();
      expect(keeper.state?.standpoint?.position).toEqual(journal.position);
      expect(statusOf(otherKeyId)).toBe('revoked');
    });

    it('cuts off what a failed append left before it appends again', async () => {
      await appendFile(path('deltas.ndjson'), '{"kind":"header","torn');
      journal.publish(model('huge'));
      await takeDelta();
      await restart();
      expect(keeper.state?.standpoint?.position).toEqual(journal.position);
      await truncate(path('deltas.ndjson'), 0);
      await restart();
      expect(keeper.state?.standpoint?.position.seq).toBe(6);
    });
  });
});
