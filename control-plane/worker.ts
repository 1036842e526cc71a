import { pino } from 'pino';
import { USAGE_QUEUE, type ReadyMessage } from '@pingtoken/shared/wire';
import { createLeaseCloser } from './allocation/close-leases.js';
import { openPersonKeyDatabase } from './database/orm.js';
import { createHealthKeeper } from './health/forget-silent.js';
import { createPersonVault } from './identity/person-vault.js';
import { openQueueWorker } from './queue.js';
import { createPriceAnnouncer } from './workers/announce-prices.js';
import { createOwnerNotices } from './workers/tell-owners.js';
import { createPeriodCloser } from './workers/close-period.js';
import { createCallLog } from './workers/call-log.js';
import { readWorkerEnvironment } from './workers/environment.js';
import { createUsageIngest } from './workers/ingest-usage.js';
import { createMailTransport } from './workers/mail-transport.js';
import { createNoticeSender } from './workers/send-notices.js';
import { openPool } from './database/sql.js';
import { createUsageJobs } from './workers/usage-jobs.js';
import { createUsagePartitions } from './workers/usage-partitions.js';
import { createCreditExpiry } from './wallets/expire-credits.js';

const DRAIN_MS = 7_000;

// Environment.
const environment = readWorkerEnvironment();
const logger = pino({ level: environment.LOG_LEVEL, base: { process: 'worker' } });

// Services.
const pool = openPool({
  url: environment.WORKER_DATABASE_URL,
  size: environment.WORKER_CONCURRENCY + 2,
  onError: (error) => {
    logger.warn({ error: error.message }, 'an idle database connection failed');
  },
});
const personKeys = await openPersonKeyDatabase({ url: environment.PERSON_KEYS_DATABASE_URL, poolSize: 2 });
const transport =
  environment.MAIL_URL === undefined
    ? null
    : createMailTransport({ url: environment.MAIL_URL, from: environment.MAIL_FROM });
const vault = createPersonVault({ orm: personKeys, secret: environment.PERSON_KEYS_SECRET });
const notices = transport && createNoticeSender({ database: pool, vault, transport, logger });
const announcer = createPriceAnnouncer({ pool, vault, logger });
const ownerNotices = createOwnerNotices({ pool, vault, logger });
const partitions = createUsagePartitions({ database: pool, logger });
const creditExpiry = createCreditExpiry({ pool, logger });
const leaseCloser = createLeaseCloser({ pool, logger });
const healthKeeper = createHealthKeeper({ pool, logger });
const periodCloser = createPeriodCloser({ pool, graceDays: environment.LEDGER_GRACE_DAYS, logger });
const callLog = environment.LOG_CALLS ? createCallLog({ logger }) : null;
const processJob = createUsageJobs({
  ingest: createUsageIngest({ pool }),
  logger,
  onIngested: ({ settled }) => callLog?.add(settled),
});

// Run.
await partitions.ensure();
const worker = await openQueueWorker({
  queueUrl: environment.QUEUE_URL,
  queueName: USAGE_QUEUE,
  concurrency: environment.WORKER_CONCURRENCY,
  logger,
  process: processJob,
}).catch((error: unknown) => {
  logger.fatal(error instanceof Error ? error.message : 'the queue cannot be used');
  process.exit(1);
});
if (notices === null) logger.warn('MAIL_URL is not set: mails wait in the outbox');
notices?.start();
announcer.start();
ownerNotices.start();
creditExpiry.start();
leaseCloser.start();
healthKeeper.start();
periodCloser.start();
logger.info('the worker is ready');
const ready: ReadyMessage = { type: 'ready', ports: [] };
process.send?.(ready);

// Drain: the batch and the mail at hand are finished. What is cut off is delivered again.
let draining = false;
async function drain(): Promise<void> {
  if (draining) return;
  draining = true;
  setTimeout(() => process.exit(0), DRAIN_MS).unref();
  partitions.stop();
  await Promise.all([
    worker.close(),
    notices?.stop(),
    announcer.stop(),
    ownerNotices.stop(),
    creditExpiry.stop(),
    leaseCloser.stop(),
    healthKeeper.stop(),
    periodCloser.stop(),
  ]);
  callLog?.flush();
  transport?.close();
  await pool.end();
  await personKeys.close();
  process.exit(0);
}
for (const signal of ['SIGTERM', 'SIGINT', 'disconnect']) process.on(signal, () => void drain());
