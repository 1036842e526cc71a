import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBackoff } from './backoff.js';
import { createChild, type Child, type ChildProgram } from './child.js';
import { readChildLine } from './child-output.js';
import { openLogFile } from './log-file.js';
import { processIdentity } from './process-identity.js';

const never = new AbortController().signal;
let folder: string;
let child: Child | undefined;
let notices: string[];
let pids: number[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pingtoken-child-'));
  notices = [];
  pids = [];
});
afterEach(async () => {
  await child?.stop({ graceMs: 0, hurry: never });
  await rm(folder, { recursive: true, force: true });
});

/** A program of ours in small: says that it is ready, and ends with its channel. */
const READY = `process.send({ type: 'ready', ports: [] }); process.on('disconnect', () => process.exit());`;

function create(script: string, program: Partial<ChildProgram> = {}): Child {
  child = createChild({
    log: openLogFile(join(folder, 'test.log')),
    events: { spawned: (pid) => pids.push(pid), line: () => undefined, notice: (text) => notices.push(text) },
    program: {
      name: 'test program',
      command: process.execPath,
      args: ['-e', script],
      environment: { PATH: '/bin' },
      workingFolder: folder,
      speaksIpc: true,
      stopSignals: ['SIGTERM'],
      readLine: readChildLine,
      ...program,
    },
  });
  return child;
}

describe('a child', () => {
  it('is started again when it dies, in a process of its own group', async () => {
    const started = create(READY);
    await started.start();
    const first = started.pid();
    process.kill(first, 'SIGKILL');
    await vi.waitFor(() => {
      expect(notices).toEqual(['test program ended (SIGKILL)', `test program runs again (process ${started.pid()})`]);
    }, 5000);
    expect(started.pid()).not.toBe(first);
    expect(pids).toEqual([first, started.pid()]);
    // Signalling the group succeeds only if the process leads one.
    expect(process.kill(-started.pid(), 0)).toBe(true);
  });

  it('that does not start says its last words', async () => {
    await expect(create(`console.error('port is taken'); process.exit(3)`).start()).rejects.toThrow(
      /The test program ended \(exit code 3\)[^]*port is taken/,
    );
    await expect(create('', { command: '/nowhere' }).start()).rejects.toThrow('ENOENT');
  });

  it.each([
    [`throw new TypeError('no such table');`, 'exit code 1): TypeError: no such table'],
    [`console.error('{}\\nThe folder is taken.'); process.exit(2);`, 'exit code 2): The folder is taken.'],
  ])('that dies of an error says which: %s', async (fault, notice) => {
    await create(`${READY} setTimeout(() => { ${fault} }, 50);`).start();
    await vi.waitFor(() => {
      expect(notices[0]).toBe(`test program ended (${notice}`);
    }, 5000);
  });

  it('is ready only when it also serves', async () => {
    let asked = 0;
    await create(READY, { isServing: () => Promise.resolve((asked += 1) > 2) }).start();
    expect(asked).toBe(3);
  });

  it('that ignores SIGTERM is ended by force, and sooner when hurried', async () => {
    const stubborn = create(`process.on('SIGTERM', () => {}); ${READY}`);
    await stubborn.start();
    const hurry = new AbortController();
    setTimeout(() => {
      hurry.abort();
    }, 100);
    const started = Date.now();
    await stubborn.stop({ graceMs: 20_000, hurry: hurry.signal });
    expect(Date.now() - started).toBeLessThan(5000);
    expect(processIdentity(stubborn.pid())).toBeNull();
    expect(notices).toEqual([]);
  });

  it('sees only its own environment, and all that it writes is logged', async () => {
    await create(
      `console.log('sees', Object.keys(process.env).filter((name) => !name.startsWith('NODE_CHANNEL')).join()); ${READY}`,
    ).start();
    await vi.waitFor(async () => {
      expect(await readFile(join(folder, 'test.log'), 'utf8')).toBe('sees PATH\n');
    });
  });
});

describe('the pause before a restart', () => {
  it('stays below two seconds for a program that had been ready, and grows for one that had not', () => {
    let time = 0;
    const backoff = createBackoff(() => (time += 1000));
    expect(Array.from({ length: 8 }, () => backoff.next(true)).every((pause) => pause <= 1000)).toBe(true);
    expect(Array.from({ length: 8 }, () => backoff.next(false)).at(-1)).toBe(10_000);
    time += 60_000;
    expect(backoff.next(true)).toBe(50);
  });
});

describe('a log', () => {
  it('is bounded: a full file takes the place of the one before', async () => {
    const path = join(folder, 'bounded.log');
    const log = openLogFile(path, 10);
    for (const text of ['first ', 'second ', 'third ']) log.write(Buffer.from(text));
    expect(await readFile(path, 'utf8')).toBe('third ');
    expect(await readFile(`${path}.1`, 'utf8')).toBe('second ');
  });
});
