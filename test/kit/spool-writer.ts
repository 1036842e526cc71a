import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import type * as recoverModule from '../../data-plane/meter/recover-spools.js';
import type * as spoolModule from '../../data-plane/meter/spool.js';

/**
 * A process for a test to kill: recovers what is there (`recover`), or makes calls as fast as it can (`write`). It tells what
 * it knows to be written, a line each: `S <eventId>`, `E <eventId>`. Node runs this file as it is, hence the compiled imports.
 */
const compiled = (path: string): string => new URL(`../../data-plane/dist/meter/${path}`, import.meta.url).href;
const { recoverSpools } = (await import(compiled('recover-spools.js'))) as typeof recoverModule;
const { createSpool, SharedFacts } = (await import(compiled('spool.js'))) as typeof spoolModule;

const [mode = 'write', root = ''] = process.argv.slice(2);
const logger = pino({ level: 'silent' });
const tell = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
const startOf = (eventId: string): spoolModule.StartRecord => ({
  eventId,
  streamed: false,
  admittedAt: Date.now(),
  attempts: [],
  facts: new SharedFacts({
    tenantId: randomUUID(),
    apiKeyId: randomUUID(),
    memberId: randomUUID(),
    config: { epoch: 1, seq: 1 },
    operation: 'chat-completions',
    model: 'm',
    priceCardVersionId: randomUUID(),
    leaseIds: [],
    client: null,
  }),
});

async function writeForEver(): Promise<void> {
  const { spool } = createSpool({ root, logger, limits: { segmentBytes: 20_000 } });
  const begin = async (start: spoolModule.StartRecord): Promise<void> => {
    await spool.start(start);
    tell(`S ${start.eventId}`);
  };
  const finish = async (start: spoolModule.StartRecord): Promise<void> => {
    const endedAt = Date.now();
    await spool.end({ ...start, endedAt, firstByteMs: 1, outcome: 'completed', status: 200, billedAttempt: null });
    tell(`E ${start.eventId}`);
  };
  // Each turn of the event loop ends calls of the one before and starts others.
  for (let started: spoolModule.StartRecord[] = []; ;) {
    const starts = Array.from({ length: 20 }, () => startOf(randomUUID()));
    await Promise.all([...starts.map(begin), ...started.slice(0, 15).map(finish)]);
    started = starts;
  }
}

if (mode === 'write') await writeForEver();
await recoverSpools({ root, ownSpoolId: '', logger, onRecovered: () => undefined });
tell('recovered');
