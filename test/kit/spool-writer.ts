import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { recoverSpools } from '../../data-plane/meter/recover-spools.js';
import { createSpool } from '../../data-plane/meter/spool.js';
import { endOf, startOf } from './spool-fixture.js';

/**
 * A process for a test to kill: recovers what is there (`recover`), or makes calls as fast as it can (`write`). It tells what
 * it knows to be written, a line each: `S <eventId>`, `E <eventId>`.
 */
const [mode = 'write', root = ''] = process.argv.slice(2);
const logger = pino({ level: 'silent' });
const tell = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

if (mode === 'recover') {
  await recoverSpools({ root, ownSpoolId: '', logger, onRecovered: () => undefined });
  tell('recovered');
} else {
  const { spool } = createSpool({ root, logger, limits: { segmentBytes: 20_000 } });
  for (;;) {
    const starts = Array.from({ length: 20 }, () => startOf(randomUUID()));
    for (const start of starts) {
      spool.start(start);
      tell(`S ${start.eventId}`);
    }
    for (const start of starts.slice(0, 15)) {
      spool.end(endOf(start));
      tell(`E ${start.eventId}`);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
