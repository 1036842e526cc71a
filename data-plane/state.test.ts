import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { SpoolConfirmation } from '@pingtoken/shared/lease';
import { sha256 } from '@pingtoken/shared/crypto';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConfigJournal, createTestIdentity, type Draft } from '../test/kit/config-documents.js';
import { ConfigServer } from '../test/kit/config-server.js';
import { readIdentity } from './identity.js';
import { openState, type State } from './state.js';

const tenantId = randomUUID();
const key = (id: string, status = 'active'): Draft => ({
  kind: 'api-key',
  id,
  tenantId,
  memberId: randomUUID(),
  hash: sha256(id),
  status,
  expiresAt: null,
});

describe('the config link', () => {
  const identity = createTestIdentity();
  const keyId = randomUUID();
  let home: string;
  let journal: ConfigJournal;
  let server: ConfigServer;
  let state: State;

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'state-'));
    await writeFile(join(home, 'identity.json'), JSON.stringify(identity.file), { mode: 0o600 });
    journal = new ConfigJournal();
    journal.publish({ kind: 'tenant', id: tenantId, status: 'active', grantedProviderIds: [] }, key(keyId));
    server = new ConfigServer(journal, identity);
    await server.listen();
    await start();
  });
  afterEach(async () => {
    await state.close();
    await server.stop();
    await rm(home, { recursive: true, force: true });
  });

  async function start(): Promise<void> {
    state = openState({
      home,
      controlPlaneUrl: `${server.url}/`,
      // Nobody listens there: the queue is not what is tested here.
      queueUrl: 'redis://127.0.0.1:1',
      verifyKey: journal.verifyKey,
      identity: readIdentity(home),
      logger: pino({ level: 'silent' }),
      linkTiming: { silenceMs: 400, redial: { minMs: 20, maxMs: 100 }, snapshot: { minMs: 50, maxMs: 400 } },
    });
    await state.start();
  }
  const isAt = (seq: number) =>
    vi.waitFor(
      () => {
        expect(state.linkStatus()).toMatchObject({ connected: true, position: { seq } });
      },
      { interval: 5, timeout: 5000 },
    );
  const statusOf = (id: string): string | undefined => state.snapshot.findAccount(sha256(id))?.apiKey.status;

  it('gets a snapshot first, tells where it stands, and acknowledges', async () => {
    await isAt(2);
    expect(server.dials.at(-1)).toEqual({ lastEventId: '1.2', chain: journal.chain });
    expect(statusOf(keyId)).toBe('active');
    await vi.waitFor(() => {
      expect(server.acks.at(-1)).toEqual({ status: 'applied', position: { epoch: 1, seq: 2 } });
    });
  });

  it('fences its spool when it stops, and those that dead processes left before it removes them', async () => {
    await isAt(2);
    const own = state.spool.spoolId;
    const left = randomUUID();
    await mkdir(join(home, 'spool', left));
    await state.close();
    expect(server.fences).toContainEqual({ spoolId: own, leases: [], lastSeq: 0 });
    server.fences.length = 0;
    server.status = 503;
    await start();
    // Nobody has taken the fences: the folders are all that is known of them.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await readdir(join(home, 'spool'))).toEqual(expect.arrayContaining([own, left]));
    server.status = undefined;
    await vi.waitFor(
      async () => {
        expect(await readdir(join(home, 'spool'))).toEqual([state.spool.spoolId]);
      },
      { interval: 20, timeout: 10_000 },
    );
    expect(server.fences.map(({ spoolId }) => spoolId)).toEqual(expect.arrayContaining([own, left]));
  });

  it('enforces a change within milliseconds, however its bytes are split', async () => {
    await isAt(2);
    for (const splitBytes of [Infinity, 1, 7]) {
      const id = randomUUID();
      journal.publish({ ...key(id), note: 'ü模型' });
      const startedAt = performance.now();
      await server.sendDelta(journal.position.seq - 1, splitBytes);
      await vi.waitFor(
        () => {
          expect(statusOf(id)).toBe('active');
        },
        { interval: 2 },
      );
      if (splitBytes === Infinity) expect(performance.now() - startedAt).toBeLessThan(200);
    }
    expect(server.snapshotRequests).toBe(1);
  });

  it('serves from the disk when the control plane is dead, ready at once, and says since when', async () => {
    await isAt(2);
    journal.publish(key(keyId, 'revoked'));
    await server.sendDelta(2);
    await isAt(3);
    await state.close();
    await server.stop();
    const before = Date.now();
    await start();
    expect(Date.now() - before).toBeLessThan(1000);
    expect(statusOf(keyId)).toBe('revoked');
    expect(state.linkStatus()).toMatchObject({ connected: false, position: { epoch: 1, seq: 3 } });
    expect(state.linkStatus().lastContactAt).toBeLessThanOrEqual(before);
    expect(state.linkStatus().lastContactAt).toBeGreaterThan(before - 10_000);
    journal.publish(key(randomUUID()));
    await server.listen();
    await isAt(4);
  });

  it('dials again for ever, and learns what it has missed', async () => {
    await isAt(2);
    for (let round = 0; round < 3; round += 1) {
      await server.stop();
      await vi.waitFor(() => {
        expect(state.linkStatus().connected).toBe(false);
      });
      journal.publish(key(randomUUID()));
      await delay(100);
      await server.listen();
      await isAt(3 + round);
    }
    expect(server.snapshotRequests).toBe(1);
  });

  it('drops a link that is silent, and not one that only sends comments', async () => {
    await isAt(2);
    const { length } = server.dials;
    const keepAlive = setInterval(() => void server.send(': alive\n\n'), 100);
    await delay(900);
    expect(server.dials).toHaveLength(length);
    clearInterval(keepAlive);
    await vi.waitFor(() => {
      expect(server.dials.length).toBeGreaterThan(length);
    });
  });

  it('refuses a tampered delta, says so, and mends itself by a snapshot', async () => {
    await isAt(2);
    server.spoil = (document) => document.replace('"revoked"', '"active"');
    journal.publish(key(keyId, 'revoked'));
    await server.sendDelta(2);
    await vi.waitFor(() => {
      expect(server.acks.find(({ status }) => status === 'refused')).toMatchObject({ position: { epoch: 1, seq: 2 } });
    });
    server.spoil = (document) => document;
    await isAt(3);
    expect(statusOf(keyId)).toBe('revoked');
  });

  it('does not fetch a snapshot that is broken for good in a hot loop', async () => {
    await isAt(2);
    server.spoil = (document) => document.replace('"count":', '"count":1');
    journal.publish(key(keyId, 'revoked'));
    await server.sendDelta(2);
    const before = server.snapshotRequests;
    await delay(1000);
    expect(server.snapshotRequests - before).toBeLessThan(12);
    expect(server.dials.length).toBeLessThan(40);
    expect(statusOf(keyId)).toBe('active');
    server.spoil = (document) => document;
    await isAt(3);
    expect(statusOf(keyId)).toBe('revoked');
  });

  it('does not loop when every dial is answered with a resync', async () => {
    await isAt(2);
    const before = server.snapshotRequests;
    const always = setInterval(() => void server.send('event: resync\ndata:\n\n'), 5);
    await delay(1000);
    clearInterval(always);
    expect(server.snapshotRequests - before).toBeGreaterThan(0);
    expect(server.snapshotRequests - before).toBeLessThan(12);
  });

  it('waits patiently while it is not enrolled, and allows nothing', async () => {
    await state.close();
    await rm(join(home, 'config'), { recursive: true });
    server.status = 401;
    await start();
    await delay(300);
    expect(state.snapshot.catalogue).toBeUndefined();
    expect(state.snapshot.findAccount(sha256(keyId))).toBeUndefined();
    expect(state.linkStatus().connected).toBe(false);
    server.status = undefined;
    await isAt(2);
  });

  it('hears what the ledger has confirmed, and survives what it cannot understand', async () => {
    await isAt(2);
    const { spool } = state;
    const confirmation: SpoolConfirmation = { spoolId: spool.spoolId, confirmedSeq: 0 };
    await server.send('event: spool-confirmed\ndata: {"no":1}\n\nevent: news\ndata: x\n\ndata: y\n\n');
    await server.send(`event: spool-confirmed\ndata: ${JSON.stringify(confirmation)}\n\n`);
    await server.send('event: delta\ndata: rubbish\n\n');
    journal.publish(key(randomUUID()));
    await isAt(3).catch(() => server.sendDelta(2));
    await isAt(3);
  });
});
