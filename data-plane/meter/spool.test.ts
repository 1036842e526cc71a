import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { usageEventSchema } from '@pingtoken/shared/usage-event';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SpoolFixture, endOf, readEvents, startOf } from '../../test/kit/spool-fixture.js';
import { SYSTEM_IO, type SpoolIo } from './segment-file.js';
import { decodeRecord, encodeRecord, readLines } from './spool-record.js';
import type { SpoolLimits, SpoolStore } from './spool-store.js';
import { SpoolReader } from './spool-reader.js';
import { SpoolReserve } from './spool-reserve.js';
import { SpoolUnavailableError } from './spool.js';

describe('a spool record', () => {
  it('is read as it was written, whatever it holds', () => {
    const text = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(
        fc.constantFrom<'S' | 'E'>('S', 'E'),
        fc.uuid(),
        fc.nat(),
        fc.nat(),
        text,
        (type, eventId, seq, atMs, value) => {
          const record = { type, eventId, seq, atMs, json: JSON.stringify({ value }) };
          const [line] = readLines(encodeRecord(record));
          expect(line?.record).toEqual(record);
        },
      ),
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
  let fixture: SpoolFixture;

  beforeEach(async () => {
    fixture = await SpoolFixture.open();
  });
  afterEach(() => fixture.remove());

  it('turns ends into usage events with contiguous seqs that the contract accepts', async () => {
    const { spool, store } = fixture.create();
    const starts = [startOf(), startOf(), startOf()];
    for (const start of starts) spool.start(start);
    for (const start of starts.toReversed()) spool.end(endOf(start));
    await store.sync();
    const events = await readEvents(store);
    expect(events.map((event) => usageEventSchema.parse(event).seq)).toEqual([1, 2, 3]);
    expect(events.map(({ eventId }) => eventId)).toEqual(starts.map(({ eventId }) => eventId).toReversed());
    expect(events[0]).toMatchObject({ kind: 'usage', spoolId: spool.spoolId });
  });

  it('hands nothing to the queue that a power cut could still take back', async () => {
    let allow: () => void = () => undefined;
    const io = { ...SYSTEM_IO, datasync: () => new Promise<void>((resolve) => (allow = resolve)) };
    const { spool, store } = fixture.create({ io });
    const start = startOf();
    spool.start(start);
    spool.end(endOf(start));
    await delay(60);
    expect(store.lastSeq).toBe(1);
    expect(await readEvents(store)).toEqual([]);
    for (let turn = 0; turn < 4; turn += 1) {
      allow();
      await delay(30);
    }
    expect(await readEvents(store)).toHaveLength(1);
    Object.assign(io, { datasync: () => Promise.resolve() });
    allow();
  });

  it('makes what was written durable within 50 ms', async () => {
    const { spool, store } = fixture.create();
    await delay(30);
    const start = startOf();
    spool.start(start);
    spool.end(endOf(start));
    const startedAt = performance.now();
    await vi.waitFor(
      () => {
        expect(store.durableSeq).toBe(1);
      },
      { interval: 2 },
    );
    expect(performance.now() - startedAt).toBeLessThan(50);
  });

  describe('on a full disk', () => {
    function createFull(limits: Partial<SpoolLimits> = {}) {
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
      return { disk, ...fixture.create({ io, limits }) };
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
      const events = await readEvents(store);
      expect(events.map(({ eventId }) => eventId)).toEqual(starts.map(({ eventId }) => eventId));
      expect((await readdir(fixture.root)).filter((name) => name.endsWith('.corrupt'))).toEqual([]);
    });

    it('keeps room for the ends of open calls, so that a spool which filled its own disk is not stuck', async () => {
      const { spool, store, disk } = createFull({ segmentBytes: 4000, reserveBytes: 20_000 });
      disk.freeBytes = 30_000;
      await delay(1100);
      const starts = [];
      for (;;) {
        const start = startOf();
        try {
          spool.start(start);
        } catch {
          break;
        }
        starts.push(start);
      }
      expect(starts.length).toBeGreaterThan(10);
      vi.spyOn(SpoolReserve.prototype, 'release').mockImplementationOnce(function (this: SpoolReserve) {
        disk.freeBytes += 20_000;
        return SpoolReserve.prototype.release.call(this);
      });
      for (const start of starts) spool.end(endOf(start));
      expect(store.lastSeq).toBe(starts.length);
      expect(() => {
        spool.start(startOf());
      }).toThrow(SpoolUnavailableError);
      // The ledger has them, their segments go, and with the room that makes calls may start again.
      disk.freeBytes += 30_000;
      await vi.waitFor(
        () => {
          spool.start(startOf());
        },
        { timeout: 3000 },
      );
    });

    it('lets no call out while the disk does not take what was written', async () => {
      const io = { ...SYSTEM_IO, datasync: () => Promise.reject(new Error('EIO')) };
      const { spool, store } = fixture.create({ io });
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
      const { spool, store } = fixture.create({ limits });
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
      expect((await readEvents(store)).map(({ seq }) => seq)).toEqual([11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
      store.confirm(20);
      await vi.waitFor(async () => {
        expect(await filesOf(store)).toHaveLength(1);
      });
    });

    it('are not held back by a call that lasts, and the call is not forgotten', async () => {
      const { spool, store } = fixture.create({ limits });
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
      const recovered = await fixture.recoverOne();
      expect(await readEvents(recovered)).toMatchObject([{ eventId: lasting.eventId, kind: 'interrupted', seq: 31 }]);
    });

    it('are read on from, when the one that was being read has gone', async () => {
      const { spool, store } = fixture.create({ limits });
      const reader = new SpoolReader(store, pino({ level: 'silent' }));
      const seen: unknown[] = [];
      for (let round = 0; round < 12; round += 1) {
        const short = startOf();
        spool.start(short);
        spool.end(endOf(short));
        await store.sync();
        seen.push(...(await reader.read({ afterSeq: seen.length, limit: 100, maxBytes: 1e6 })));
        // Behind the last end that was read, calls that last: their starts move on, and the segment goes.
        for (let count = 0; count < 4; count += 1) spool.start(startOf());
        store.confirm(seen.length);
        await delay(30);
      }
      expect(seen).toMatchObject(Array.from({ length: 12 }, (_, index) => ({ seq: index + 1, kind: 'usage' })));
      expect(store.segments[0]?.number).toBeGreaterThan(1);
    });

    it('are passed over by a confirmation of what was never written', () => {
      const { spool, store } = fixture.create();
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
});
