import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { packRecords } from '@pingtoken/shared/usage-batch';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { connectUsageQueue } from '../../../data-plane/meter/usage-queue.js';
import { makeAttempt, makeEvent } from '../../kit/billing-fixture.js';
import { createRandom } from '../../kit/load.js';
import type { BenchSpool, Market } from './customers.js';

export interface TrafficOptions {
  readonly market: Market;
  readonly events: number;
  /** In one job. */
  readonly batchSize: number;
  /** The calls are spread over so many days up to now, in order. */
  readonly days: number;
  readonly queueUrl: string;
}

const DAY_MS = 86_400_000;

/** Puts calls into the queue as data planes do; all of them lie there when this resolves. @returns bytes put */
export async function enqueueTraffic({ market, events, batchSize, days, queueUrl }: TrafficOptions): Promise<number> {
  const queue = await connectUsageQueue({ queueUrl, logger: pino({ level: 'silent' }) });
  const draw = createDraw(market);
  const from = Date.now() - days * DAY_MS;
  const step = (days * DAY_MS) / events;
  const lastSeq = new Map<BenchSpool, number>();
  let bytes = 0;
  for (let done = 0, turn = 0; done < events; turn += 1) {
    const spool = market.spools[turn % market.spools.length];
    if (spool === undefined) throw new Error('there is no data plane');
    const count = Math.min(batchSize, events - done);
    const firstSeq = (lastSeq.get(spool) ?? 0) + 1;
    const lines = Array.from({ length: count }, (_, index) =>
      Buffer.from(JSON.stringify(draw(spool, firstSeq + index, Math.floor(from + (done + index) * step)))),
    );
    const records = await packRecords(lines);
    bytes += records.length;
    await queue.put({ ...spool, firstSeq, count, records });
    lastSeq.set(spool, firstSeq + count - 1);
    done += count;
  }
  await queue.close();
  return bytes;
}

/** Few tenants and few models make most of the calls, and one call in fifty fails. The same calls in every run, but for ids. */
function createDraw({ tenants, models }: Market): (spool: BenchSpool, seq: number, at: number) => UsageEvent {
  const random = createRandom(5);
  const pick = <T>(values: readonly T[], skew: number): T => {
    const value = values[Math.floor(values.length * random() ** skew)];
    if (value === undefined) throw new Error('nothing to pick from');
    return value;
  };
  return ({ spoolId }, seq, at) => {
    const tenant = pick(tenants, 2);
    const model = pick(models, 2);
    const isFailure = random() < 0.02;
    const usage = { input: Math.floor(3_000 * random()), output: Math.floor(800 * random()), cacheRead: 1024 };
    const attempt = makeAttempt({
      providerId: model.providerId,
      upstreamModel: model.name,
      costCardVersionId: model.cost.id,
      ...(isFailure ? { usage: {}, countedBy: 'none', status: 500 } : { usage }),
    });
    const apiKeyId = pick(tenant.apiKeyIds, 1);
    const leaseId = tenant.leases.get(spoolId);
    return {
      ...makeEvent({ ...tenant, apiKeyId }, model.price.id, {
        eventId: uuidv7({ msecs: at }),
        ...{ model: model.name, streamed: true, attempts: [attempt], admittedAt: at, endedAt: at + 1200 },
        ...(isFailure && { outcome: 'provider-failed', status: 502, billedAttempt: null }),
        ...(leaseId !== undefined && { leaseIds: [leaseId] }),
      }),
      ...{ spoolId, seq, reserved: '100000000000000' },
    };
  };
}
