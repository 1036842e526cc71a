import { fstatSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SpoolFixture, endOf, readEvents, startOf } from '../../test/kit/spool-fixture.js';
import { SYSTEM_IO, type SpoolIo } from './segment-file.js';
import type { SpoolLimits } from './spool-store.js';
import { SpoolReserve } from './spool-reserve.js';
import { SpoolUnavailableError } from './spool.js';

describe('the spool on a full disk', () => {
  let fixture: SpoolFixture;

  beforeEach(async () => {
    fixture = await SpoolFixture.open();
  });
  afterEach(() => fixture.remove());

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
        disk.freeBytes += fstatSync(fd).size - length;
        SYSTEM_IO.truncateSync(fd, length);
      },
    };
    return { disk, ...fixture.create({ io, limits }) };
  }

  it('lets no call out', async () => {
    const { spool, disk } = createFull();
    await expect(spool.start(startOf())).rejects.toThrow(SpoolUnavailableError);
    disk.freeBytes = 1e6;
    await spool.start(startOf());
  });

  it('loses no end: it is written, in order, when there is room again', async () => {
    const { spool, store, disk } = createFull();
    disk.freeBytes = 1e6;
    const starts = [startOf(), startOf(), startOf()];
    await Promise.all(starts.map((start) => spool.start(start)));
    for (const truncates of [true, false]) {
      // In the middle of a record, with and without a disk that lets the torn part be cut off.
      Object.assign(disk, { freeBytes: 100, truncates });
      const ending = truncates ? starts.slice(0, 1) : starts.slice(1);
      await Promise.all(ending.map((start) => spool.end(endOf(start))));
      await expect(spool.start(startOf())).rejects.toThrow(SpoolUnavailableError);
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

  it('writes those ends of a turn that there is room for, in order, and the others when there is more', async () => {
    const { spool, store, disk } = createFull();
    disk.freeBytes = 1e6;
    const starts = Array.from({ length: 6 }, () => startOf());
    await Promise.all(starts.map((start) => spool.start(start)));
    const [first, ...others] = starts.map(endOf);
    if (first === undefined) throw new Error('no call');
    const before = store.segments[0]?.bytes ?? 0;
    await spool.end(first);
    const endBytes = (store.segments[0]?.bytes ?? 0) - before;
    disk.freeBytes = 2.5 * endBytes;
    await Promise.all(others.slice(0, 4).map((end) => spool.end(end)));
    await vi.waitFor(() => {
      expect(store.lastSeq).toBe(3);
    });
    await Promise.all(others.slice(4).map((end) => spool.end(end)));
    await delay(250);
    expect(store.lastSeq).toBe(3);
    await expect(spool.start(startOf())).rejects.toThrow(SpoolUnavailableError);
    disk.freeBytes = 1e6;
    await vi.waitFor(() => {
      expect(store.lastSeq).toBe(6);
    });
    await store.sync();
    const events = await readEvents(store);
    expect(events.map(({ eventId, seq }) => [eventId, seq])).toEqual(
      starts.map(({ eventId }, index) => [eventId, index + 1]),
    );
    await spool.start(startOf());
  });

  it('lets none of a turn’s calls out where it has no room for all of them, and knows of none', async () => {
    const { spool, store, disk } = createFull();
    disk.freeBytes = 1e6;
    const earlier = startOf();
    await spool.start(earlier);
    disk.freeBytes = 2.5 * (store.segments[0]?.bytes ?? 0);
    const outcomes = await Promise.allSettled([startOf(), startOf(), startOf()].map((start) => spool.start(start)));
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(SpoolUnavailableError) as unknown });
    }
    expect([...store.openStarts.keys()]).toEqual([earlier.eventId]);
    disk.freeBytes = 1e6;
    const [later, last] = [startOf(), startOf()];
    await Promise.all([later, last].map((start) => spool.start(start)));
    await spool.end(endOf(last));
    await spool.close();
    expect(await readEvents(await fixture.recoverOne())).toMatchObject([
      { eventId: last.eventId, kind: 'usage' },
      { eventId: earlier.eventId, kind: 'interrupted' },
      { eventId: later.eventId, kind: 'interrupted' },
    ]);
  });

  it('tries once more what it was refused when it is closed, and leaves the rest to the next process', async () => {
    const { spool, store, disk } = createFull();
    disk.freeBytes = 1e6;
    const starts = [startOf(), startOf()];
    await Promise.all(starts.map((start) => spool.start(start)));
    disk.freeBytes = 0;
    await Promise.all(starts.map((start) => spool.end(endOf(start))));
    disk.freeBytes = (store.segments[0]?.bytes ?? 0) / 2 + 200;
    const refused = expect(spool.start(startOf())).rejects.toThrow(SpoolUnavailableError);
    await spool.close();
    await refused;
    expect(await readEvents(await fixture.recoverOne())).toMatchObject([
      { eventId: starts[0]?.eventId, kind: 'usage' },
      { eventId: starts[1]?.eventId, kind: 'interrupted' },
    ]);
  });

  it('keeps room for the ends of open calls, so that a spool which filled its own disk is not stuck', async () => {
    const { spool, store, disk } = createFull({ segmentBytes: 4000, reserveBytes: 20_000 });
    disk.freeBytes = 30_000;
    await delay(1100);
    const starts = [];
    for (;;) {
      const start = startOf();
      try {
        await spool.start(start);
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
    await Promise.all(starts.map((start) => spool.end(endOf(start))));
    expect(store.lastSeq).toBe(starts.length);
    await expect(spool.start(startOf())).rejects.toThrow(SpoolUnavailableError);
    // The ledger has them, their segments go, and with the room that makes calls may start again.
    disk.freeBytes += 30_000;
    await vi.waitFor(
      async () => {
        await spool.start(startOf());
      },
      { timeout: 3000 },
    );
  });

  it('lets no call out while the disk does not take what was written', async () => {
    const io = { ...SYSTEM_IO, datasync: () => Promise.reject(new Error('EIO')) };
    const { spool, store } = fixture.create({ io });
    await spool.start(startOf());
    await store.sync();
    await expect(spool.start(startOf())).rejects.toThrow(SpoolUnavailableError);
    Object.assign(io, { datasync: SYSTEM_IO.datasync });
    await store.sync();
    await spool.start(startOf());
  });
});
