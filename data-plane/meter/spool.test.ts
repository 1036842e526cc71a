import { randomUUID } from 'node:crypto';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { usageEventSchema } from '@pingtoken/shared/usage-event';
import { parseJson } from '@pingtoken/shared/wire';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SpoolFixture, endOf, readEvents, recordCall, segmentPath, startOf } from '../../test/kit/spool-fixture.js';
import { SYSTEM_IO } from './segment-file.js';
import { decodeRecord, encodeRecords, readLines } from './spool-record.js';
import type { SpoolStore } from './spool-store.js';
import { SpoolReader } from './spool-reader.js';

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
          const [line] = readLines(encodeRecords([record]).bytes);
          expect(line?.record).toEqual({ ...record, json: Buffer.from(record.json) });
        },
      ),
    );
  });

  it('is recognised as damaged when any bit of it is', () => {
    const line = encodeRecords([{ type: 'E', eventId: randomUUID(), seq: 3, atMs: 1, json: '{"a":1}' }]).bytes.subarray(
      0,
      -1,
    );
    for (let bit = 0; bit < line.length * 8; bit += 1) {
      const damaged = Buffer.from(line);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeRecord(damaged)).toBeUndefined();
    }
  });
});

describe('spool records', () => {
  it('of one write are each where their lengths say, however much text they hold', () => {
    const json = fc.string({ unit: 'grapheme', maxLength: 200 }).map((value) => JSON.stringify({ value }));
    const texts = fc.array(
      fc.oneof(
        { weight: 9, arbitrary: json },
        json.map((text) => text.padEnd(300_000, '模')),
      ),
    );
    fc.assert(
      fc.property(texts, (jsons) => {
        const records = jsons.map((text, seq) => ({
          type: 'E' as const,
          eventId: String(seq),
          seq,
          atMs: 1,
          json: text,
        }));
        const { bytes, lengths } = encodeRecords(records);
        const lines = [...readLines(bytes)];
        expect(lines.map(({ length }) => length)).toEqual(lengths);
        expect(lines.map(({ record }) => record?.json.toString())).toEqual(jsons);
      }),
      { numRuns: 30 },
    );
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
    await Promise.all(starts.map((start) => spool.start(start)));
    await Promise.all(starts.toReversed().map((start) => spool.end(endOf(start))));
    await store.sync();
    const events = await readEvents(store);
    expect(events.map((event) => usageEventSchema.parse(event).seq)).toEqual([1, 2, 3]);
    expect(events.map(({ eventId }) => eventId)).toEqual(starts.map(({ eventId }) => eventId).toReversed());
    const { facts, ...last } = endOf(starts[2] ?? startOf());
    const { spoolId } = spool;
    expect(events[0]).toEqual({ ...last, ...facts.values, version: 1, spoolId, seq: 1, kind: 'usage' });
  });

  describe('in one turn of the event loop', () => {
    function createCounted() {
      const io = { ...SYSTEM_IO, writeSync: vi.fn(SYSTEM_IO.writeSync) };
      const created = fixture.create({ io });
      const records = async (): Promise<(readonly [string, string])[]> => {
        const lines = [...readLines(await readFile(segmentPath(created.store)))];
        return lines.map(({ record }) => [record?.type ?? '', record?.eventId ?? '']);
      };
      return { ...created, records, writes: io.writeSync.mock.calls };
    }

    it('writes all starts with one system call and all ends with one, the ends first', async () => {
      const { spool, store, writes, records } = createCounted();
      const [first, second, third, fourth] = [startOf(), startOf(), startOf(), startOf()];
      await Promise.all([first, second].map((start) => spool.start(start)));
      expect(writes).toHaveLength(1);
      await Promise.all([spool.start(third), spool.end(endOf(second)), spool.start(fourth), spool.end(endOf(first))]);
      expect(writes).toHaveLength(3);
      await Promise.all([third, fourth].map((start) => spool.end(endOf(start))));
      expect(writes).toHaveLength(4);
      expect(await records()).toEqual([
        ['S', first.eventId],
        ['S', second.eventId],
        ['E', second.eventId],
        ['E', first.eventId],
        ['S', third.eventId],
        ['S', fourth.eventId],
        ['E', third.eventId],
        ['E', fourth.eventId],
      ]);
      expect(store.openStarts.size).toBe(0);
    });

    it('says of no record that it is written before it is', async () => {
      const { spool, writes } = createCounted();
      const start = startOf();
      const writesSeen = [spool.start(start), spool.start(startOf())].map(async (written) => {
        await written;
        return writes.length;
      });
      expect(writes).toHaveLength(0);
      expect(await Promise.all(writesSeen)).toEqual([1, 1]);
      const ended = spool.end(endOf(start));
      expect(writes).toHaveLength(1);
      await ended;
      expect(writes).toHaveLength(2);
    });

    it('writes what came in it when it is closed before the turn is over', async () => {
      const { spool, writes } = createCounted();
      const [ended, cut] = [startOf(), startOf()];
      await spool.start(ended);
      const written = Promise.all([spool.start(cut), spool.end(endOf(ended))]);
      await spool.close();
      await written;
      expect(writes).toHaveLength(3);
      expect(await readEvents(await fixture.recoverOne())).toMatchObject([
        { eventId: ended.eventId, kind: 'usage', seq: 1 },
        { eventId: cut.eventId, kind: 'interrupted', seq: 2 },
      ]);
    });
  });

  it('hands nothing to the queue that a power cut could still take back', async () => {
    let allow: () => void = () => undefined;
    const io = { ...SYSTEM_IO, datasync: () => new Promise<void>((resolve) => (allow = resolve)) };
    const { spool, store } = fixture.create({ io });
    await recordCall(spool);
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

  it('makes what was written durable without being told to', async () => {
    const { spool, store } = fixture.create();
    await delay(30);
    const start = startOf();
    await spool.start(start);
    await spool.end(endOf(start));
    await vi.waitFor(
      () => {
        expect(store.durableSeq).toBe(1);
      },
      { interval: 2, timeout: 10_000 },
    );
  });

  describe('segments', () => {
    const limits = { segmentBytes: 2000, segmentsBeforeCarry: 3, tidyAfterMs: 5 };
    const filesOf = async (store: SpoolStore): Promise<string[]> =>
      (await readdir(store.folder)).filter((name) => name.endsWith('.log')).sort();

    it('are bounded: one that has grown to its size is followed by another', async () => {
      const { spool, store } = fixture.create({ limits });
      for (let count = 0; count < 20; count += 1) await recordCall(spool);
      await store.sync();
      const sizes = await Promise.all(
        (await filesOf(store)).map(async (name) => (await stat(join(store.folder, name))).size),
      );
      const whole = sizes.slice(0, -1);
      expect(Math.min(...whole)).toBeGreaterThanOrEqual(limits.segmentBytes);
      // What one turn has brought is written with one call: here one record.
      const record = (sizes.reduce((sum, size) => sum + size, 0) / 40) * 1.5;
      expect(Math.max(...sizes)).toBeLessThan(limits.segmentBytes + record);
    });

    it('are deleted when all in them is confirmed, and not before', async () => {
      const { spool, store } = fixture.create({ limits });
      for (let count = 0; count < 20; count += 1) await recordCall(spool);
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
      await spool.start(lasting);
      for (let count = 0; count < 30; count += 1) {
        await recordCall(spool);
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
        await recordCall(spool);
        await store.sync();
        const texts = await reader.read({ afterSeq: seen.length, limit: 100, maxBytes: 1e6 });
        seen.push(...texts.map((text) => parseJson(text.toString())));
        // Behind the last end that was read, calls that last: their starts move on, and the segment goes.
        for (let count = 0; count < 4; count += 1) await spool.start(startOf());
        store.confirm(seen.length);
        await delay(30);
      }
      await reader.close();
      expect(seen).toMatchObject(Array.from({ length: 12 }, (_, index) => ({ seq: index + 1, kind: 'usage' })));
      expect(store.segments[0]?.number).toBeGreaterThan(1);
    });

    it('are passed over by a confirmation of what was never written', async () => {
      const { spool, store } = fixture.create();
      await recordCall(spool);
      store.confirm(99);
      expect(store.confirmedSeq).toBe(0);
      store.confirm(1);
      store.confirm(0);
      expect(store.confirmedSeq).toBe(1);
    });
  });
});
