import type { AnswerEditor, Prepared } from '../forward/prepared-call.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { budgetsOf, paysInAdvance, refuseUnbounded } from '../leases/call-money.js';
import type { HeldMoney } from '../leases/held-money.js';
import { priceOfCall } from '../leases/call-price.js';
import type { PlannedCall } from './accounts.js';
import type { BatchRecord } from './batch-store.js';
import { submissionOf } from './batches.js';
import { openConversation } from './conversation.js';
import { jsonBody } from './exchange.js';
import type { JobCost } from './job-money.js';
import type { KeptAnswer, KeptTools } from './kept-call.js';
import { createResponseIdSealer } from './response-ids.js';
import { idSealerOf, type IdSealer } from './sealed-id.js';
import { parseThing } from './show-things.js';

/** Whether a call asks for a response that goes on when the call is over. */
export function isInBackground({ task }: Prepared): boolean {
  if (task.kind !== 'metered') return false;
  const { request } = task;
  return request.dialect === 'openai' && request.bodyKind === 'json' && request.inBackground;
}

/**
 * Makes a response in the background: what it uses is known only later, so it is dealt with as a batch is. The call itself uses
 * nothing; money is reserved for the response under an id of its own, its record is on disk before anything is sent, and it is
 * billed by our own poll when it is over. It goes to one account, once: who can say what a provider that did not answer makes
 * of it?
 * https://platform.openai.com/docs/guides/background
 */
export async function createInBackground(prepared: Prepared, tools: KeptTools): KeptAnswer {
  const sealer = idSealerOf(prepared.account.tenant);
  if (sealer === undefined) return refuse('unsupported_field', 'background', 'It is not offered yet.');
  const single = onlyFirst(prepared);
  const cost = costOf(single);
  if (isRefusal(cost)) return cost;
  const job = new Job(single, tools);
  const plan = { ...single, assumedUsage: {}, reserve: () => job.reserve(cost) };
  return prepared.streamed ? relayStream(plan, job, { tools, sealer }) : answerWhole(plan, job, { tools, sealer });
}

function onlyFirst(prepared: Prepared): PlannedCall {
  const [attempt] = prepared.attempts;
  const { served } = attempt;
  return { ...prepared, ...(served !== undefined && served), attempts: [attempt] };
}

function costOf(plan: PlannedCall): JobCost | Refusal {
  const price = priceOfCall(plan);
  if (isRefusal(price)) return price;
  const { account, catalogue, admittedAt: at, requestId: jobId } = plan;
  const { currency } = price;
  const budgetIds = budgetsOf(account, catalogue, currency);
  const unbounded = paysInAdvance(account, budgetIds) ? refuseUnbounded(plan) : undefined;
  return unbounded ?? { jobId, tenantId: account.tenant.id, currency, budgetIds, at, amount: price.atMost() };
}

/** What is known here of one response, until the provider has given it an id. */
class Job {
  #record: BatchRecord;
  #isKnown = false;

  constructor(
    private readonly plan: PlannedCall,
    private readonly tools: KeptTools,
  ) {
    this.#record = this.#recordOf([]);
  }

  async reserve(cost: JobCost): Promise<HeldMoney | Refusal> {
    const { billing, logger } = this.tools;
    try {
      const leaseIds = await billing.reserve(this.#record, cost);
      if (isRefusal(leaseIds)) return leaseIds;
      this.#record = this.#recordOf(leaseIds);
      await billing.expect(this.#record);
    } catch (error) {
      logger.error({ job: cost.jobId, reason: String(error) }, 'the record of a response cannot be written');
      billing.drop(this.#record);
      return refuse('spool_unavailable');
    }
    // The call's own record draws on nothing. When it is over and no id is known, there is nothing to be billed.
    const settle = (): void => {
      if (!this.#isKnown) billing.drop(this.#record);
    };
    return { leaseIds: [], reserved: '0', answerCap: undefined, settle };
  }

  async isMade(rawId: string): Promise<void> {
    this.#isKnown = true;
    await this.tools.billing.submitted(this.#record, rawId);
  }

  isMadeNow(rawId: string): void {
    if (this.#isKnown) return;
    this.#isKnown = true;
    this.tools.billing.submittedNow(this.#record, rawId);
  }

  #recordOf(leaseIds: readonly string[]): BatchRecord {
    const submission = submissionOf(this.plan, leaseIds);
    return { submission, mark: '', rawBatchId: null, kind: 'response', isReserving: false };
  }
}

interface Means {
  readonly tools: KeptTools;
  readonly sealer: IdSealer;
}

async function answerWhole(plan: PlannedCall, job: Job, { tools, sealer }: Means): KeptAnswer {
  const { outgoing } = plan;
  if (outgoing === undefined) throw new TypeError('a response that is not one request');
  const conversation = await openConversation(plan, tools, { outlivesCaller: true });
  if (isRefusal(conversation)) return conversation;
  const { path, body: bytes } = outgoing;
  const body = await conversation.ask({ method: 'POST', path, body: jsonBody(bytes) });
  if (body === undefined) return undefined;
  const rawId = parseThing(body)?.['id'];
  if (typeof rawId !== 'string') {
    await conversation.fail('upstream_failed', 'provider-failed', 'the answer is no response');
    return undefined;
  }
  await job.isMade(rawId);
  const ids = createResponseIdSealer(sealer, accountOf(plan));
  await conversation.answer(Buffer.concat([ids.push(body), ids.end()]).toString());
  return undefined;
}

async function relayStream(plan: PlannedCall, job: Job, { tools, sealer }: Means): KeptAnswer {
  const { outgoing } = plan;
  if (outgoing === undefined) throw new TypeError('a response that is not one request');
  const editAnswer = (): AnswerEditor =>
    createResponseIdSealer(sealer, accountOf(plan), {
      onResponse: (rawId) => {
        job.isMadeNow(rawId);
      },
    });
  // What passes is not counted: the response is billed when it is over, whether its caller has stayed or not.
  const task = { kind: 'passthrough', method: 'POST', path: outgoing.path, query: '' } as const;
  const metered = await tools.meter.begin({ ...plan, task, outgoing: { ...outgoing, editAnswer } });
  if (isRefusal(metered)) return metered;
  tools.forwarder.forward(metered);
  return undefined;
}

function accountOf({ attempts: [{ provider, credentialId }], model }: PlannedCall) {
  return { providerId: provider.id, credentialId, model };
}
