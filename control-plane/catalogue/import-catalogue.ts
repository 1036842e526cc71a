import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { sha256 } from '@pingtoken/shared/crypto';
import { idempotencyKeySchema } from '../billing/inputs.js';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { effectiveFromSchema } from '../pricing/inputs.js';
import { lockCard } from '../pricing/rate-card-rows.js';
import { applyChanges } from './apply-changes.js';
import { CATALOGUE_MODELS, type CatalogueModel } from './catalogue.js';
import { diffCatalogue, type CatalogueChange, type ChangeKind } from './catalogue-diff.js';
import type { InstallSettings } from './install.js';
import { readStanding } from './read-standing.js';

/** `shipped`: the price list of this release. `library`: the price library that is installed, which may be newer. */
const CATALOGUE_SOURCES = ['shipped', 'library'] as const;
export type CatalogueSource = (typeof CATALOGUE_SOURCES)[number];

const importInput = z
  .object({
    source: z.enum(CATALOGUE_SOURCES).default('shipped'),
    entries: z
      .array(z.object({ key: z.string().min(1).max(500), digest: z.string().max(100) }))
      .min(1)
      .max(1000)
      .refine((entries) => new Set(entries.map(({ key }) => key)).size === entries.length, 'one is named twice'),
    /** Null for now. */
    effectiveFrom: effectiveFromSchema,
    /** When tenants are told of prices that change later on; null for at once. */
    announceAt: z.date().nullish(),
    /** For the routes of new models of its provider; without one they get none. */
    credentialId: z.uuid('is no id').nullish(),
    idempotencyKey: idempotencyKeySchema,
  })
  .refine(
    ({ effectiveFrom, announceAt }) => announceAt == null || (effectiveFrom != null && announceAt < effectiveFrom),
    {
      path: ['announceAt'],
      message: 'must lie before the prices change',
    },
  );
type CatalogueImportInput = z.output<typeof importInput>;

/** What an operator has approved. */
export interface CatalogueImport {
  readonly id: string;
  readonly source: CatalogueSource;
  readonly effectiveFrom: Date;
  readonly announceAt: Date;
  readonly entries: readonly { readonly key: string; readonly digest: string }[];
  readonly createdAt: Date;
}

export interface CatalogueImports {
  /** @param question slug of a provider, and kinds; all of them where they are not given */
  diff(
    scope: Scope,
    question: {
      readonly source: CatalogueSource;
      readonly provider?: string | null;
      readonly kinds?: readonly ChangeKind[] | null;
    },
  ): Promise<readonly CatalogueChange[]>;
  /**
   * Applies what is named, all or nothing, and only as it was seen: `conflict` where the catalogue, or what stands, has become
   * another. The same key with the same input is done once.
   */
  import(scope: Scope, input: z.input<typeof importInput>): Promise<CatalogueImport | Refusal>;
  /** Newest first, at most 200. */
  list(scope: Scope): Promise<CatalogueImport[]>;
}

export function createCatalogueImports({
  run,
  ...settings
}: { readonly run: RunTransaction } & InstallSettings): CatalogueImports {
  return {
    async diff(scope, { source, provider, kinds }) {
      const models = await readCatalogue(source);
      const changes = await run(scope, (transaction) => readDiff(transaction, models));
      return changes.filter(
        (change) =>
          (provider == null || change.provider === provider) && (kinds == null || kinds.includes(change.kind)),
      );
    },
    async import(scope, input) {
      const checked = checkInput(importInput, input);
      if (checked instanceof Refusal) return checked;
      const models = await readCatalogue(checked.source);
      return run(scope, (transaction) => importChanges(transaction, checked, models, settings));
    },
    list: (scope) => run(scope, (transaction) => readImports(transaction, null)),
  };
}

/** The library is large and seldom asked for. */
async function readCatalogue(source: CatalogueSource): Promise<readonly CatalogueModel[]> {
  if (source === 'shipped') return CATALOGUE_MODELS;
  const { readLibraryModels } = await import('./build-list.js');
  return readLibraryModels();
}

async function readDiff(transaction: Transaction, models: readonly CatalogueModel[]): Promise<CatalogueChange[]> {
  return diffCatalogue(models, await readStanding(transaction), new Date());
}

async function importChanges(
  transaction: Transaction,
  input: CatalogueImportInput,
  models: readonly CatalogueModel[],
  settings: InstallSettings,
): Promise<CatalogueImport | Refusal> {
  // Of two imports at once the second must see what the first has done; so must an installation.
  await transaction.em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', ['catalogue-install']);
  const digest = sha256(JSON.stringify(input));
  const [standing] = await readImports(transaction, input.idempotencyKey);
  if (standing !== undefined) {
    return standing.digest === digest ? standing : refuse('idempotency_mismatch', ['idempotencyKey']);
  }
  const approved = await findApproved(transaction, input, models);
  if (approved instanceof Refusal) return approved;
  const now = new Date();
  const effectiveFrom = input.effectiveFrom ?? now;
  if (effectiveFrom < now) {
    return refuse(
      'invalid_request',
      ['effectiveFrom'],
      'Calls up to now have been priced; it must not lie in the past.',
    );
  }
  const announceAt = input.announceAt != null && input.announceAt > now ? input.announceAt : now;
  const credentialId = input.credentialId ?? null;
  const fault = await applyChanges(transaction, approved, { now, effectiveFrom, announceAt, credentialId, settings });
  if (fault !== undefined) return fault;
  return store(transaction, input, { digest, effectiveFrom, announceAt });
}

/** The changes that are named, under the locks of their cards, if they are what was seen. */
async function findApproved(
  transaction: Transaction,
  { entries }: CatalogueImportInput,
  models: readonly CatalogueModel[],
): Promise<readonly CatalogueChange[] | Refusal> {
  const named = new Set(entries.map(({ key }) => key));
  const cardIds = (await readDiff(transaction, models)).flatMap(({ key, card }) =>
    named.has(key) && card !== undefined ? [card.id] : [],
  );
  for (const cardId of cardIds.toSorted()) await lockCard(transaction, cardId);
  const changes = new Map((await readDiff(transaction, models)).map((change) => [change.key, change]));
  const approved: CatalogueChange[] = [];
  for (const [index, { key, digest }] of entries.entries()) {
    const change = changes.get(key);
    const path = ['entries', String(index)];
    if (change?.digest !== digest) {
      return refuse('conflict', [...path, 'digest'], 'It is not as it was seen: ask for the diff again.');
    }
    if (change.kind === 'gone') {
      return refuse(
        'invalid_request',
        [...path, 'key'],
        'Nothing is to be applied: drain its targets, or disable the model.',
      );
    }
    approved.push(change);
  }
  return approved;
}

interface ImportRow {
  readonly id: string;
  readonly digest: string;
  readonly source: CatalogueSource;
  readonly effective_from: Date | string;
  readonly announce_at: Date | string;
  readonly entries: CatalogueImport['entries'];
  readonly created_at: Date | string;
}

async function readImports(
  transaction: Transaction,
  idempotencyKey: string | null,
): Promise<(CatalogueImport & { readonly digest: string })[]> {
  const { rows } = await asQueryable(transaction).query<ImportRow>({
    text: `
      select id, digest, source, effective_from, announce_at, entries, created_at from catalogue_import
      where $1::text is null or idempotency_key = $1::text order by id desc limit 200`,
    values: [idempotencyKey],
  });
  return rows.map(({ id, digest, source, entries, ...at }) => ({
    ...{ id, digest, source, entries },
    effectiveFrom: new Date(at.effective_from),
    announceAt: new Date(at.announce_at),
    createdAt: new Date(at.created_at),
  }));
}

async function store(
  transaction: Transaction,
  { source, entries, idempotencyKey }: CatalogueImportInput,
  {
    digest,
    effectiveFrom,
    announceAt,
  }: { readonly digest: string; readonly effectiveFrom: Date; readonly announceAt: Date },
): Promise<CatalogueImport> {
  const id = uuidv7();
  await asQueryable(transaction).query({
    text: `
      insert into catalogue_import (
        id, idempotency_key, digest, source, effective_from, announce_at, entries, actor_member_id
      ) values ($1::uuid, $2::text, $3::text, $4::text, $5::timestamptz, $6::timestamptz, $7::jsonb, $8::uuid)`,
    values: [
      ...[id, idempotencyKey, digest, source, effectiveFrom.toISOString(), announceAt.toISOString()],
      ...[JSON.stringify(entries), transaction.scope.actorMemberId],
    ],
  });
  const details = { source, effectiveFrom: effectiveFrom.toISOString(), keys: entries.map(({ key }) => key) };
  await transaction.audit({ action: 'catalogue-imported', subjectKind: 'catalogue-import', subjectId: id, details });
  return { id, source, effectiveFrom, announceAt, entries, createdAt: new Date() };
}
