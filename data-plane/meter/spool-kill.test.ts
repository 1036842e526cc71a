import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SpoolFixture, readEvents } from '../../test/kit/spool-fixture.js';

// Run by Node as it is, on what 'tsc -b' has compiled: a process to be killed must start as fast as a real one.
const WRITER = new URL('../../test/kit/spool-writer.ts', import.meta.url).pathname;

describe('a spool whose process is killed with kill -9', () => {
  let fixture: SpoolFixture;

  beforeEach(async () => {
    fixture = await SpoolFixture.open();
  });
  afterEach(() => fixture.remove());

  /** @returns what the process had told by then */
  async function killAfter(mode: 'write' | 'recover', ms: number): Promise<string[]> {
    const child = spawn(process.execPath, [WRITER, mode, fixture.root], { stdio: ['ignore', 'pipe', 'inherit'] });
    const told: string[] = [];
    const lines = createInterface({ input: child.stdout }).on('line', (line) => told.push(line));
    if (mode === 'write') await once(lines, 'line');
    await delay(ms);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await delay(20);
    return told;
  }

  it('knows every call: its end if it was written, else as interrupted, once, also when recovery is killed twice', async () => {
    const told = await killAfter('write', 150);
    const started = new Set(told.filter((line) => line.startsWith('S ')).map((line) => line.slice(2)));
    const ended = new Set(told.filter((line) => line.startsWith('E ')).map((line) => line.slice(2)));
    expect(ended.size).toBeGreaterThan(50);
    // Somewhere between its first line of code and its last.
    await killAfter('recover', 90);
    await killAfter('recover', 120);

    const [store, ...others] = await fixture.recover();
    if (store === undefined) throw new Error('nothing recovered');
    expect(others).toEqual([]);
    const events = await readEvents(store);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    const kinds = new Map(events.map(({ eventId, kind }) => [eventId, kind]));
    expect(kinds.size).toBe(events.length);
    for (const eventId of ended) expect(kinds.get(eventId)).toBe('usage');
    for (const eventId of started) expect(kinds.has(eventId)).toBe(true);
    // The ends of one turn may have been written and not told.
    const interrupted = events.filter(({ kind }) => kind === 'interrupted').length;
    expect(interrupted).toBeGreaterThanOrEqual(started.size - ended.size - 15);
  });
});
