import { randomUUID } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { usageEventSchema } from '@pingtoken/shared/usage-event';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  SpoolFixture,
  attempt,
  endOf,
  readEvents,
  recordCall,
  segmentPath,
  startOf,
} from '../../test/kit/spool-fixture.js';
import { readLines } from './spool-record.js';
import type { SpoolStore } from './spool-store.js';

describe('a recovered spool', () => {
  let fixture: SpoolFixture;

  beforeEach(async () => {
    fixture = await SpoolFixture.open();
  });
  afterEach(() => fixture.remove());

  it('records a start without an end as interrupted, with nothing counted and nothing billed', async () => {
    const { spool, store } = fixture.create();
    const [ended, cut] = [startOf(), startOf()];
    await Promise.all([spool.start(ended), spool.start(cut)]);
    await spool.end(endOf(ended));
    await store.close();
    const events = await readEvents(await fixture.recoverOne());
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
    const { spool, store } = fixture.create();
    for (let count = 0; count < 5; count += 1) await spool.start(startOf());
    await store.close();
    const first = await fixture.recoverOne();
    const events = await readEvents(first);
    expect(events).toHaveLength(5);
    await first.close();
    // Cut the recovery's own segment at every record: as if it had been killed there.
    const path = segmentPath(first, 1);
    const files = await filesOf(first);
    const bytes = await readFile(path);
    for (let length = bytes.length; length >= 0; length -= Math.ceil(bytes.length / 23)) {
      await rebuild(files, path, bytes.subarray(0, length));
      const again = await fixture.recoverOne();
      expect(await readEvents(again)).toEqual(events);
      await again.close();
    }
  });

  /** Puts the files of a spool back as they were, but for one. */
  async function rebuild(files: ReadonlyMap<string, Buffer>, changedPath: string, changed: Buffer): Promise<void> {
    await rm(fixture.root, { recursive: true });
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
    const { spool, store } = fixture.create();
    const [ended, cut] = [startOf(), startOf()];
    await Promise.all([spool.start(ended), spool.start(cut)]);
    await spool.end(endOf(ended));
    const before = store.segments[0]?.bytes ?? 0;
    await spool.end(endOf(cut));
    await store.close();
    const path = segmentPath(store);
    const files = await filesOf(store);
    const bytes = await readFile(path);
    for (let length = before; length < bytes.length; length += 1) {
      await rebuild(files, path, bytes.subarray(0, length));
      const recovered = await fixture.recoverOne();
      expect((await readEvents(recovered)).map(({ eventId, kind, seq }) => [eventId, kind, seq])).toEqual([
        [ended.eventId, 'usage', 1],
        [cut.eventId, 'interrupted', 2],
      ]);
      expect((await readdir(fixture.root)).filter((name) => name.endsWith('.corrupt'))).toEqual([]);
      await recovered.close();
    }
  });

  it('knows each record of a turn that was torn off at any byte', async () => {
    const { spool, store } = fixture.create();
    const starts = [startOf(), startOf(), startOf()];
    await Promise.all(starts.map((start) => spool.start(start)));
    const before = store.segments[0]?.bytes ?? 0;
    await Promise.all(starts.map((start) => spool.end(endOf(start))));
    await store.close();
    const path = segmentPath(store);
    const files = await filesOf(store);
    const bytes = await readFile(path);
    const recordBytes = (bytes.length - before) / starts.length;
    for (let length = bytes.length; length >= before; length -= Math.ceil(recordBytes / 11)) {
      await rebuild(files, path, bytes.subarray(0, length));
      const recovered = await fixture.recoverOne();
      const whole = Math.floor((length - before) / recordBytes);
      expect((await readEvents(recovered)).map(({ eventId, kind, seq }) => [eventId, kind, seq])).toEqual(
        starts.map(({ eventId }, index) => [eventId, index < whole ? 'usage' : 'interrupted', index + 1]),
      );
      await recovered.close();
    }
  });

  it('sets a damaged record aside, keeps its seq, and reads on', async () => {
    const { spool, store } = fixture.create();
    const starts = [startOf(), startOf(), startOf()];
    for (const start of starts) await recordCall(spool, start);
    await store.close();
    const path = segmentPath(store);
    const lines = [...readLines(await readFile(path))];
    const second = lines[3];
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.from([0, 10, 255]), 0, 3, (second?.offset ?? 0) + 40);
    closeSync(file);
    const recovered = await fixture.recoverOne();
    const events = await readEvents(recovered);
    expect(events.map(({ seq, kind }) => [seq, kind])).toEqual([
      [1, 'usage'],
      [2, 'damaged'],
      [3, 'usage'],
      [4, 'interrupted'],
    ]);
    expect(events[3]?.eventId).toBe(starts[1]?.eventId);
    expect(usageEventSchema.safeParse(events[1]).success).toBe(false);
    expect((await readdir(fixture.root)).filter((name) => name.endsWith('.corrupt'))).toHaveLength(2);
    expect(await readEvents(recovered)).toEqual(events);
  });

  it('never gives the seq of a damaged last record to another call', async () => {
    const { spool, store } = fixture.create();
    const [open, ended] = [startOf(), startOf()];
    await Promise.all([spool.start(open), spool.start(ended)]);
    await spool.end(endOf(ended));
    await store.close();
    const path = segmentPath(store);
    const bytes = await readFile(path);
    bytes[bytes.length - 20] = 1;
    await writeFile(path, bytes);
    const events = await readEvents(await fixture.recoverOne());
    expect(events.map(({ seq, kind, eventId }) => [seq, kind, eventId])).toEqual([
      [1, 'damaged', undefined],
      [2, 'interrupted', open.eventId],
      [3, 'interrupted', ended.eventId],
    ]);
  });

  it('goes on counting where everything before was confirmed and deleted', async () => {
    const { spool, store } = fixture.create({ limits: { segmentBytes: 500 } });
    for (let count = 0; count < 6; count += 1) await recordCall(spool);
    await store.sync();
    store.confirm(6);
    await delay(60);
    await spool.start(startOf());
    await store.close();
    await rm(join(store.folder, 'confirmed'), { force: true });
    const recovered = await fixture.recoverOne();
    expect(recovered.lastSeq).toBe(7);
    expect((await readEvents(recovered)).map(({ seq }) => seq).at(-1)).toBe(7);
  });

  it('removes what is settled and confirmed, and what was never used', async () => {
    const first = fixture.create();
    await recordCall(first.spool);
    await first.store.sync();
    first.store.confirm(1);
    await first.store.close();
    await fixture.create().store.close();
    expect(await fixture.recover()).toEqual([]);
    expect(await readdir(fixture.root)).toEqual([]);
  });

  it('survives whatever is in its folder', async () => {
    const { store } = fixture.create();
    await store.close();
    await writeFile(join(fixture.root, randomUUID()), 'a file, not a folder');
    await writeFile(segmentPath(store), Buffer.from('\n\n00000000 00000000 \nrubbish\n'));
    const recovered = await fixture.recoverOne();
    expect((await readEvents(recovered)).every((event) => (event.kind as string) === 'damaged')).toBe(true);
  });
});
