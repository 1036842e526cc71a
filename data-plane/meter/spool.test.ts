import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { usageEventSchema, type UsageEvent } from '@pingtoken/shared/usage-event';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { recoverSpools } from './recover-spools.js';
import { SYSTEM_IO, type SpoolIo } from './segment-file.js';
import { decodeRecord, encodeRecord, readLines } from './spool-record.js';
import { SpoolReader } from './spool-reader.js';
import { SpoolStore, type SpoolLimits } from './spool-store.js';
import { SpoolUnavailableError, createSpool, type EndRecord, type StartRecord } from './spool.js';

const logger = pino({ level: 'silent' });
const attempt = {
  targetId: null,
  providerId: randomUUID(),
  credentialId: randomUUID(),
  upstreamModel: 'm',
  status: 200,
  usage: { input: 3 },
  countedBy: 'provider' as const,
  costCardVersionId: null,
};
const startOf = (eventId: string = randomUUID()): StartRecord => ({
  eventId,
  tenantId: randomUUID(),
  apiKeyId: randomUUID(),
  memberId: randomUUID(),
  config: { epoch: 1, seq: 7 },
  operation: 'chat-completions',
  model: 'gross-ü\n模型',
  streamed: true,
  admittedAt: 1_700_000_000_000,
  attempts: [attempt],
  priceCardVersionId: randomUUID(),
  leaseIds: [],
  client: null,
});
const endOf = (start: StartRecord): EndRecord => ({
  ...start,
  endedAt: start.admittedAt + 1000,
  firstByteMs: 12,
  outcome: 'completed',
  status: 200,
  billedAttempt: 0,
});

describe('a spool record', () => {
  it('is read as it was written, whatever it holds', () => {
    const text = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(fc.constantFrom('S', 'E'), fc.uuid(), fc.nat(), fc.nat(), text, (type, eventId, seq, atMs, value) => {
        const record = { type: type as 'S' | 'E', eventId, seq, atMs, json: JSON.stringify({ value }) };
        const [line] = readLines(encodeRecord(record));
        expect(line?.record).toEqual(record);
      }),
    );
  });

  it('is recognised as damaged when any bit of it is', () => {
    const line = encodeRecord({ type: 'E', eventId: randomUUID(), seq: 3, atMs: 1, json: '{"a":1}' }).subarray(0, -1);
    for (let bit = 0; bit < line.length * 8; bit += 1) {
      const damaged = Buffer.from(line);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeRecord(damaged)).toBeUndefined();
    }
  });
});

describe('the spool', () => {
  let root: string;
  let open: { close(): Promise<void> }[];

  beforeEach(async () => {
    // In memory where the system has such a folder: hundreds of recoveries would wait for the disk otherwise.
    root = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'spool-'));
    open = [];
  });
  afterEach(async () => {
    for (const one of open) await one.close();
    await rm(root, { recursive: true, force: true });
  });

  function create(options: { io?: SpoolIo; limits?: Partial<SpoolLimits> } = {}) {
    const created = createSpool({ root, logger, ...options, limits: { tidyAfterMs: 5, ...options.limits } });
    open.push(created.spool);
    return created;
  }
  const readAll = async (store: SpoolStore, afterSeq = store.confirmedSeq) =>
    (await new SpoolReader(store, logger).read({ afterSeq, limit: 10_000, maxBytes: 1e9 })) as UsageEvent[];
  async function recover(): Promise<SpoolStore[]> {
    const stores: SpoolStore[] = [];
    await recoverSpools({ root, ownSpoolId: '', logger, limits: { tidyAfterMs: 5 }, onRecovered: (store) => stores.push(store) });
    open.push(...stores);
    return stores;
  }
  const recoverOne = async (): Promise<SpoolStore> => {
    const [store] = await recover();
    if (store === undefined) throw new Error('nothing recovered');
    return store;
  };
  const segmentPath = (store: SpoolStore, index = 0): string => store.segments[index]?.path ?? '';

  it('turns ends into usage events with contiguous seqs that the contract accepts', async () => {
    const { spool, store } = create();
    const starts = [startOf(), startOf(), startOf()];
    for (const start of starts) spool.start(start);
    for (const start of starts.toReversed()) spool.end(endOf(start));
    await store.sync();
    const events = await readAll(store);
    expect(events.map((event) => usageEventSchema.parse(event).seq)).toEqual([1, 2, 3]);
    expect(events.map(({ eventId }) => eventId)).toEqual(starts.map(({ eventId }) => eventId).toReversed());
    expect(events[0]).toMatchObject({ kind: 'usage', spoolId: spool.spoolId });
  });

  it('hands nothing to the queue that a power cut could still take back', async () => {
    let allow: () => void = () => undefined;
    const io = { ...SYSTEM_IO, datasync: () => new Promise<void>((resolve) => (allow = resolve)) };
    const { spool, store } = create({ io });
    const start = startOf();
    spool.start(start);
    spool.end(endOf(start));
    await delay(60);
    expect(store.lastSeq).toBe(1);
    expect(await readAll(store)).toEqual([]);
    for (let turn = 0; turn < 4; turn += 1) {
      allow();
      await delay(30);
    }
    expect(await readAll(store)).toHaveLength(1);
    Object.assign(io, { datasync: () => Promise.resolve() });
    allow();
  });

  it('makes what was written durable within 50 ms', async () => {
    const { spool, store } = create();
    await delay(30);
    const start = startOf();
    spool.start(start);
    spool.end(endOf(start));
    const startedAt = performance.now();
    await vi.waitFor(() => {
      expect(store.durableSeq).toBe(1);
    }, { interval: 2 });
    expect(performance.now() - startedAt).toBeLessThan(50);
  });

  describe('on a full disk', () => {
    function createFull() {
      const disk = { freeBytes: 0, truncates: true };
      const io: SpoolIo = {
        ...SYSTEM_IO,
        // As a real one: it takes what fits, and refuses the rest with the next call.
        writeSync: (fd, bytes, offset, length) => {
          const fits = Math.min(length, disk.freeBytes);
          if (fits === 0) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
          disk.freeBytes -= fits;
          return SYSTEM_IO.writeSync(fd, bytes, offset, fits);
        },
        truncateSync: (fd, length) => {
          if (!disk.truncates) throw Object.assign(new Error('I/O error'), { code: 'EIO' });
          SYSTEM_IO.truncateSync(fd, length);
        },
      };
      return { disk, ...create({ io }) };
    }

    it('lets no call out', () => {
      const { spool, disk } = createFull();
      expect(() => {
        spool.start(startOf());
      }).toThrow(SpoolUnavailableError);
      disk.freeBytes = 1e6;
      spool.start(startOf());
    });

    it('loses no end: it is written, in order, when there is room again', async () => {
      const { spool, store, disk } = createFull();
      disk.freeBytes = 1e6;
      const starts = [startOf(), startOf(), startOf()];
      for (const start of starts) spool.start(start);
      for (const truncates of [true, false]) {
        // In the middle of a record, with and without a disk that lets the torn part be cut off.
        Object.assign(disk, { freeBytes: 100, truncates });
        for (const start of truncates ? starts.slice(0, 1) : starts.slice(1)) spool.end(endOf(start));
        expect(() => {
          spool.start(startOf());
        }).toThrow(SpoolUnavailableError);
        Object.assign(disk, { freeBytes: 1e6, truncates: true });
        await vi.waitFor(() => {
          expect(store.lastSeq).toBe(truncates ? 1 : 3);
        });
      }
      await store.sync();
      const events = await readAll(store);
      expect(events.map(({ eventId }) => eventId)).toEqual(starts.map(({ eventId }) => eventId));
      expect((await readdir(root)).filter((name) => name.endsWith('.corrupt'))).toEqual([]);
    });

    it('lets no call out while the disk does not take what was written', async () => {
      const io = { ...SYSTEM_IO, datasync: () => Promise.reject(new Error('EIO')) };
      const { spool, store } = create({ io });
      spool.start(startOf());
      await store.sync();
      expect(() => {
        spool.start(startOf());
      }).toThrow(SpoolUnavailableError);
      Object.assign(io, { datasync: SYSTEM_IO.datasync });
      await store.sync();
      spool.start(startOf());
    });
  });

  describe('segments', () => {
    const limits = { segmentBytes: 2000, segmentsBeforeCarry: 3, tidyAfterMs: 5 };
    const filesOf = async (store: SpoolStore): Promise<string[]> =>
      (await readdir(store.folder)).filter((name) => name.endsWith('.log')).sort();

    it('are deleted when all in them is confirmed, and not before', async () => {
      const { spool, store } = create({ limits });
      for (let count = 0; count < 20; count += 1) {
        const start = startOf();
        spool.start(start);
        spool.end(endOf(start));
      }
      await store.sync();
      const all = await filesOf(store);
      expect(all.length).toBeGreaterThan(6);
      store.confirm(10);
      await delay(60);
      expect((await filesOf(store)).length).toBeLessThan(all.length);
      expect((await readAll(store)).map(({ seq }) => seq)).toEqual([11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
      store.confirm(20);
      await vi.waitFor(async () => {
        expect(await filesOf(store)).toHaveLength(1);
      });
    });

    it('are not held back by a call that lasts, and the call is not forgotten', async () => {
      const { spool, store } = create({ limits });
      const lasting = startOf();
      spool.start(lasting);
      for (let count = 0; count < 30; count += 1) {
        const start = startOf();
        spool.start(start);
        spool.end(endOf(start));
        if (count % 10 === 9) {
          await store.sync();
          store.confirm(store.lastSeq);
          await delay(60);
        }
      }
      expect((await filesOf(store)).length).toBeLessThan(limits.segmentsBeforeCarry + 3);
      await store.close();
      const recovered = await recoverOne();
      expect(await readAll(recovered)).toMatchObject([{ eventId: lasting.eventId, kind: 'interrupted', seq: 31 }]);
    });

    it('are passed over by a confirmation of what was never written', async () => {
      const { spool, store } = create();
      const start = startOf();
      spool.start(start);
      spool.end(endOf(start));
      store.confirm(99);
      expect(store.confirmedSeq).toBe(0);
      store.confirm(1);
      store.confirm(0);
      expect(store.confirmedSeq).toBe(1);
    });
  });

  describe('recovered', () => {
    it('records a start without an end as interrupted, with nothing counted and nothing billed', async () => {
      const { spool, store } = create();
      const [ended, cut] = [startOf(), startOf()];
      spool.start(ended);
      spool.start(cut);
      spool.end(endOf(ended));
      await store.close();
      const events = await readAll(await recoverOne());
      expect(events.map((event) => usageEventSchema.parse(event))).toMatchObject([
        { eventId: ended.eventId, kind: 'usage', seq: 1 },
        {
          eventId: cut.eventId,
          kind: 'interrupted',
          outcome: 'interrupted',
          seq: 2,
          status: null,
          billedAttempt: null,
          endedAt: ended.admittedAt + 1000,
          attempts: [{ countedBy: 'none', usage: {}, providerId: attempt.providerId }],
        },
      ]);
    });

    it('is the same when recovered again and again, as after kills in mid-recovery', async () => {
      const { spool, store } = create();
      for (let count = 0; count < 5; count += 1) spool.start(startOf());
      await store.close();
      const first = await recoverOne();
      const events = await readAll(first);
      expect(events).toHaveLength(5);
      await first.close();
      // Cut the recovery's own segment at every record: as if it had been killed there.
      const path = segmentPath(first, 1);
      const files = await filesOf(first);
      const bytes = await readFile(path);
      for (let length = bytes.length; length >= 0; length -= Math.ceil(bytes.length / 23)) {
        await rebuild(files, path, bytes.subarray(0, length));
        const again = await recoverOne();
        expect(await readAll(again)).toEqual(events);
        await again.close();
      }
    });

    /** Puts the files of a spool back as they were, but for one. */
    async function rebuild(files: ReadonlyMap<string, Buffer>, changedPath: string, changed: Buffer): Promise<void> {
      await rm(root, { recursive: true });
      for (const [path, bytes] of files) {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, path === changedPath ? changed : bytes);
      }
    }
    async function filesOf(store: SpoolStore): Promise<Map<string, Buffer>> {
      const files = store.segments.map(async ({ path }) => [path, await readFile(path)] as const);
      return new Map(await Promise.all(files));
    }

    it('knows a record that was torn off at any byte', async () => {
      const { spool, store } = create();
      const [ended, cut] = [startOf(), startOf()];
      spool.start(ended);
      spool.start(cut);
      spool.end(endOf(ended));
      const before = store.segments[0]?.bytes ?? 0;
      spool.end(endOf(cut));
      await store.close();
      const path = segmentPath(store);
      const files = await filesOf(store);
      const bytes = await readFile(path);
      for (let length = before; length < bytes.length; length += 1) {
        await rebuild(files, path, bytes.subarray(0, length));
        const recovered = await recoverOne();
        expect((await readAll(recovered)).map(({ eventId, kind, seq }) => [eventId, kind, seq])).toEqual([
          [ended.eventId, 'usage', 1],
          [cut.eventId, 'interrupted', 2],
        ]);
        expect((await readdir(root)).filter((name) => name.endsWith('.corrupt'))).toEqual([]);
        await recovered.close();
      }
    });

    it('sets a damaged record aside, keeps its seq, and reads on', async () => {
      const { spool, store } = create();
      const starts = [startOf(), startOf(), startOf()];
      for (const start of starts) {
        spool.start(start);
        spool.end(endOf(start));
      }
      await store.close();
      const path = segmentPath(store);
      const lines = [...readLines(await readFile(path))];
      const second = lines[3];
      const file = openSync(path, 'r+');
      writeSync(file, Buffer.from([0, 10, 255]), 0, 3, (second?.offset ?? 0) + 40);
      closeSync(file);
      const recovered = await recoverOne();
      const events = await readAll(recovered);
      expect(events.map(({ seq, kind }) => [seq, kind])).toEqual([
        [1, 'usage'],
        [2, 'damaged'],
        [3, 'usage'],
        [4, 'interrupted'],
      ]);
      expect(events[3]?.eventId).toBe(starts[1]?.eventId);
      expect(usageEventSchema.safeParse(events[1]).success).toBe(false);
      expect((await readdir(root)).filter((name) => name.endsWith('.corrupt'))).toHaveLength(2);
      expect(await readAll(recovered)).toEqual(events);
    });

    it('never gives the seq of a damaged last record to another call', async () => {
      const { spool, store } = create();
      const [open, ended] = [startOf(), startOf()];
      spool.start(open);
      spool.start(ended);
      spool.end(endOf(ended));
      await store.close();
      const path = segmentPath(store);
      const bytes = await readFile(path);
      bytes[bytes.length - 20] = 1;
      await writeFile(path, bytes);
      const events = await readAll(await recoverOne());
      expect(events.map(({ seq, kind, eventId }) => [seq, kind, eventId])).toEqual([
        [1, 'damaged', undefined],
        [2, 'interrupted', open.eventId],
        [3, 'interrupted', ended.eventId],
      ]);
    });

    it('goes on counting where everything before was confirmed and deleted', async () => {
      const { spool, store } = create({ limits: { segmentBytes: 500 } });
      for (let count = 0; count < 6; count += 1) {
        const start = startOf();
        spool.start(start);
        spool.end(endOf(start));
      }
      await store.sync();
      store.confirm(6);
      await delay(60);
      const cut = startOf();
      spool.start(cut);
      await store.close();
      await rm(join(store.folder, 'confirmed'), { force: true });
      const recovered = await recoverOne();
      expect(recovered.lastSeq).toBe(7);
      expect((await readAll(recovered)).map(({ seq }) => seq).at(-1)).toBe(7);
    });

    it('removes what is settled and confirmed, and what was never used', async () => {
      const first = create();
      const start = startOf();
      first.spool.start(start);
      first.spool.end(endOf(start));
      await first.store.sync();
      first.store.confirm(1);
      await first.store.close();
      await create().store.close();
      expect(await recover()).toEqual([]);
      expect(await readdir(root)).toEqual([]);
    });

    it('survives whatever is in its folder', async () => {
      const { store } = create();
      await store.close();
      await writeFile(join(root, randomUUID()), 'a file, not a folder');
      await writeFile(segmentPath(store), Buffer.from('\n\n00000000 00000000 \nrubbish\n'));
      const recovered = await recoverOne();
      expect((await readAll(recovered)).every((event) => (event.kind as string) === 'damaged')).toBe(true);
    });
  });
});
