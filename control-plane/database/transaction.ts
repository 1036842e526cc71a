import type { EntityManager } from '@mikro-orm/postgresql';
import type { ConfigObjectDraft } from '@pingtoken/shared/config-snapshot';
import { v7 as uuidv7 } from 'uuid';
import { OutboxMessage } from '../publishing/entities.js';
import type { Orm } from './orm.js';
import { Refusal } from './refusal.js';

/** On whose behalf, and within whose data, a transaction runs. */
export interface Scope {
  /** The tenant whose rows can be seen and written; row-level security and the ORM's filter both go by it. */
  readonly tenantId: string;
  /** Who acts, for the audit; null for the platform itself. */
  readonly actorMemberId: string | null;
  /** Whether the operator's own tables may be written. */
  readonly operator: boolean;
}

/** The platform's own hand, at installation and in seeds. */
export function platformScope(tenantId: string): Scope {
  return { tenantId, actorMemberId: null, operator: true };
}

export interface AuditEntry {
  /** Noun and verb, such as `api-key-revoked`. */
  readonly action: string;
  readonly subjectKind: string;
  readonly subjectId: string;
  /** Pseudonymous ids and settings; never a name, an address or a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Topics of the outbox, with what each carries: ids and sealed values. */
export interface OutboxPayloads {
  /** `sealed`: base64url, under the person's key, the JSON of the mail's variables. */
  'send-mail': { readonly template: 'verify-email'; readonly personId: string; readonly sealed: string };
  /** Prices that change later on: whoever uses a model of the card is to know. */
  'announce-price-change': { readonly rateCardVersionId: string };
}

/** A change as deletion: the data planes forget the object and refuse an older copy of it. */
export type ConfigDraft =
  | ConfigObjectDraft
  | { readonly kind: string; readonly id: string; readonly deleted: true; readonly tenantId?: string };

/**
 * One unit of work. What it changes, its audit entry, its outbox rows and its config objects commit together or not at all.
 * Config objects are collected and written last: that locks the config head, which every other publishing transaction waits for.
 */
export class Transaction {
  readonly #drafts = new Map<string, ConfigDraft>();

  constructor(
    readonly em: EntityManager,
    readonly scope: Scope,
  ) {}

  async audit({ action, subjectKind, subjectId, details = {} }: AuditEntry): Promise<void> {
    await this.em.execute('select append_audit(?, ?, ?, ?, ?, ?::jsonb)', [
      this.scope.tenantId,
      this.scope.actorMemberId,
      action,
      subjectKind,
      subjectId,
      JSON.stringify(details),
    ]);
  }

  /** @param availableAt not before then; at once where it is not given */
  enqueue<Topic extends keyof OutboxPayloads>(
    topic: Topic,
    payload: OutboxPayloads[Topic],
    availableAt = new Date(),
  ): void {
    this.em.create(OutboxMessage, {
      id: uuidv7(),
      tenantId: this.scope.tenantId,
      topic,
      payload,
      createdAt: new Date(),
      availableAt,
      attempts: 0,
      processedAt: null,
      lastError: null,
    });
  }

  /** Of an object that is published twice in one transaction, data planes see the last state only. */
  async publish(drafts: readonly ConfigDraft[]): Promise<void> {
    await this.em.flush();
    for (const draft of drafts) {
      const key = `${draft.kind} ${draft.id}`;
      this.#drafts.delete(key);
      this.#drafts.set(key, draft);
    }
  }

  /** The runner's last act before the commit. */
  async writeConfig(): Promise<void> {
    const drafts = [...this.#drafts.values()];
    if (drafts.length > 0) await this.em.execute('select publish_config(?::jsonb)', [JSON.stringify(drafts)]);
  }
}

export type RunTransaction = <T>(scope: Scope, work: (transaction: Transaction) => Promise<T>) => Promise<T>;

/** Commits when the work returns, rolls back when it throws or returns a {@link Refusal}. */
export function createTransactionRunner(orm: Orm): RunTransaction {
  return async (scope, work) => {
    const em = orm.em.fork();
    em.setFilterParams('tenant', { tenantId: scope.tenantId });
    em.setSessionContext({
      variables: { 'pingtoken.tenant_id': scope.tenantId, 'pingtoken.operator': scope.operator ? 'on' : 'off' },
    });
    await em.begin();
    try {
      const transaction = new Transaction(em, scope);
      const result = await work(transaction);
      if (result instanceof Refusal) await em.rollback();
      else {
        await transaction.writeConfig();
        await em.commit();
      }
      return result;
    } catch (error) {
      await em.rollback();
      throw error;
    }
  };
}
