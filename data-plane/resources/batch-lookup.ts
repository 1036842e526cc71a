import { createRequestId } from '../receive.js';
import type { Snapshot } from '../snapshot.js';
import type { BatchRecord } from './batch-store.js';
import type { BatchSubmission } from './batch-submission.js';
import type { Exchanger, ProviderAccount } from './exchange.js';
import { MAX_PAGES, readPage } from './list-things.js';
import { parseThing, type Json } from './show-things.js';

export interface BatchLookupOptions {
  readonly snapshot: Snapshot;
  readonly exchanger: Exchanger;
  readonly signal: AbortSignal;
}

/** What is asked of providers about batches, by nobody's call. */
export class BatchLookup {
  constructor(private readonly options: BatchLookupOptions) {}

  /** @returns undefined where the answer is no success */
  async get(account: ProviderAccount, path: string): Promise<Json | undefined> {
    const { exchanger, signal } = this.options;
    const { status, body } = await exchanger.ask(account, {
      method: 'GET',
      path,
      requestId: createRequestId(),
      signal,
    });
    return status >= 200 && status < 300 ? parseThing(body) : undefined;
  }

  /**
   * Looks for a batch in its provider's list, by its mark.
   * @returns the provider's id of it; undefined where the list does not have it, or nobody can be asked
   * @throws where the list cannot be read
   */
  async find({ submission, mark }: BatchRecord): Promise<string | undefined> {
    const account = this.accountOf(submission);
    if (account === undefined) return undefined;
    let after = '';
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const page = readPage(await this.get(account, `/batches?limit=100${after}`));
      if (page === undefined) throw new Error('the list of batches cannot be read');
      const found = page.data.find(({ metadata }) => markOf(metadata) === mark)?.['id'];
      if (typeof found === 'string') return found;
      const last = page.data.at(-1)?.['id'];
      if (!page.hasMore || typeof last !== 'string') break;
      after = `&after=${encodeURIComponent(last)}`;
    }
    return undefined;
  }

  /** That of the submission; where it is no more, another of the same provider that the model's routes name. */
  accountOf({
    tenantId,
    providerId,
    credentialId,
    model,
  }: Pick<BatchSubmission, 'tenantId' | 'providerId' | 'credentialId' | 'model'>): ProviderAccount | undefined {
    const { catalogue } = this.options.snapshot;
    const provider = catalogue?.providers.get(providerId);
    if (catalogue === undefined || provider === undefined) return undefined;
    const routes = catalogue.routes(catalogue.models.get(model)?.id ?? '', tenantId);
    const others = routes.flatMap(({ targets }) => targets.filter((target) => target.providerId === providerId));
    for (const id of [credentialId, ...others.map((target) => target.credentialId)]) {
      const secret = catalogue.secretOf(id, tenantId, provider);
      if (secret !== undefined) return { provider, secret };
    }
    return undefined;
  }
}

function markOf(metadata: unknown): unknown {
  return typeof metadata === 'object' && metadata !== null && 'pingtoken' in metadata ? metadata.pingtoken : undefined;
}

/** When it was over, as its provider says in seconds; now where it does not. */
export function endOf(batch: Json | undefined): number {
  for (const member of ['completed_at', 'expired_at', 'cancelled_at', 'failed_at']) {
    const seconds = batch?.[member];
    if (typeof seconds === 'number' && Number.isSafeInteger(seconds * 1000) && seconds > 0) return seconds * 1000;
  }
  return Date.now();
}
