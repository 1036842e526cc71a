import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { sha256 } from '@pingtoken/shared/crypto';
import { parseAmount } from '@pingtoken/shared/money';
import {
  currencySchema,
  futureSchema,
  idempotencyKeySchema,
  payableSchema,
  printable,
  prioritySchema,
} from '../billing/inputs.js';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { createCode } from '../identity/tokens.js';
import { addCredit, DEFAULT_PRIORITY } from './add-credit.js';

const DAY_MS = 24 * 3600 * 1000;

const batchInput = z.object({
  name: printable(100),
  amount: payableSchema,
  currency: currencySchema,
  count: z.int().min(1).max(10_000, 'at most 10000 at once'),
  priority: prioritySchema.default(DEFAULT_PRIORITY),
  redeemUntil: futureSchema.nullish(),
  /** Days for which what a code gave can be spent; null for ever. */
  creditDays: z.int().min(1).max(3650).nullish(),
  idempotencyKey: idempotencyKeySchema,
});
export type RedemptionBatchInput = z.input<typeof batchInput>;

export interface RedemptionBatch {
  readonly id: string;
  readonly name: string;
  readonly currency: string;
  /** Units that each code is worth. */
  readonly amount: bigint;
  readonly count: number;
  readonly redeemed: number;
  readonly redeemUntil: Date | null;
  readonly createdAt: Date;
  readonly voidedAt: Date | null;
}

export interface CreatedBatch {
  readonly batch: RedemptionBatch;
  /** Shown this once; null where the same request was made before: only their hashes are stored. */
  readonly codes: readonly string[] | null;
}

const redeemInput = z.object({ code: z.string().trim().min(1).max(100), idempotencyKey: idempotencyKeySchema });

export interface Redeemed {
  readonly transferId: string;
  readonly currency: string;
  readonly amount: bigint;
}

export interface RedemptionCodes {
  create(scope: Scope, input: RedemptionBatchInput): Promise<CreatedBatch | Refusal>;
  /** Its codes that are not redeemed yet are worth nothing any more. */
  void(scope: Scope, batchId: string): Promise<RedemptionBatch | Refusal>;
  /** Newest first. */
  list(scope: Scope): Promise<RedemptionBatch[]>;
  /** Credits the scope's tenant; one code one time, whoever comes first. */
  redeem(scope: Scope, input: z.input<typeof redeemInput>): Promise<Redeemed | Refusal>;
}

export function createRedemptionCodes({ run }: { run: RunTransaction }): RedemptionCodes {
  return {
    async create(scope, input) {
      const checked = checkInput(batchInput, input);
      return checked instanceof Refusal ? checked : run(scope, (transaction) => createBatch(transaction, checked));
    },
    async void(scope, batchId) {
      if (!z.uuid().safeParse(batchId).success) return refuse('not_found', ['batchId']);
      return run(scope, (transaction) => voidBatch(transaction, batchId));
    },
    list: (scope) => run(scope, (transaction) => readBatches(transaction, null)),
    async redeem(scope, input) {
      const checked = checkInput(redeemInput, input);
      return checked instanceof Refusal ? checked : run(scope, (transaction) => redeem(transaction, checked));
    },
  };
}

async function createBatch(
  transaction: Transaction,
  input: z.output<typeof batchInput>,
): Promise<CreatedBatch | Refusal> {
  const database = asQueryable(transaction);
  const { scope } = transaction;
  const amount = parseAmount(input.amount);
  const id = uuidv7();
  const { rows } = await database.query<{ id: string }>({
    text: `
      insert into redemption_batch (
        id, name, currency, amount, priority, redeem_until, credit_days, count, idempotency_key, actor_member_id
      ) values ($1::uuid, $2::text, $3::text, $4::numeric, $5::integer, $6::timestamptz, $7::integer, $8::integer, $9::text,
        $10::uuid)
      on conflict (idempotency_key) do nothing returning id`,
    values: [
      ...[id, input.name, input.currency, amount.toString(), input.priority, input.redeemUntil?.toISOString() ?? null],
      ...[input.creditDays ?? null, input.count, input.idempotencyKey, scope.actorMemberId],
    ],
  });
  if (rows.length === 0) return findBatch(transaction, input);
  const codes = Array.from({ length: input.count }, () => createCode());
  await database.query({
    text: `insert into redemption_code (code_hash, batch_id) select json_array_elements_text($1::json), $2::uuid`,
    values: [JSON.stringify(codes.map(({ hash }) => hash)), id],
  });
  const details = { count: input.count, amount: input.amount, currency: input.currency };
  await transaction.audit({
    ...{ action: 'redemption-codes-created', subjectKind: 'redemption-batch', subjectId: id, details },
  });
  const [batch] = await readBatches(transaction, id);
  if (batch === undefined) throw new Error('the batch is not there');
  return { batch, codes: codes.map(({ code }) => code) };
}

async function findBatch(
  transaction: Transaction,
  { idempotencyKey, name, currency, amount, count }: z.output<typeof batchInput>,
): Promise<CreatedBatch | Refusal> {
  const { rows } = await asQueryable(transaction).query<{ id: string }>({
    text: 'select id from redemption_batch where idempotency_key = $1::text',
    values: [idempotencyKey],
  });
  const [batch] = await readBatches(transaction, rows[0]?.id ?? '');
  const isSame =
    batch?.name === name &&
    batch.currency === currency &&
    batch.amount === parseAmount(amount) &&
    batch.count === count;
  return isSame ? { batch, codes: null } : refuse('idempotency_mismatch', ['idempotencyKey']);
}

async function voidBatch(transaction: Transaction, batchId: string): Promise<RedemptionBatch | Refusal> {
  const { rows } = await asQueryable(transaction).query<{ id: string }>({
    text: 'update redemption_batch set voided_at = now() where id = $1::uuid and voided_at is null returning id',
    values: [batchId],
  });
  const [batch] = await readBatches(transaction, batchId);
  if (batch === undefined) return refuse('not_found', ['batchId']);
  if (rows.length > 0) {
    await transaction.audit({
      ...{ action: 'redemption-codes-voided', subjectKind: 'redemption-batch', subjectId: batchId },
    });
  }
  return batch;
}

interface BatchRow {
  readonly id: string;
  readonly name: string;
  readonly currency: string;
  readonly amount: string;
  readonly count: number;
  readonly redeemed: string;
  readonly redeem_until: Date | string | null;
  readonly created_at: Date | string;
  readonly voided_at: Date | string | null;
}

async function readBatches(transaction: Transaction, id: string | null): Promise<RedemptionBatch[]> {
  const { rows } = await asQueryable(transaction).query<BatchRow>({
    text: `
      select id, name, currency, amount::text, count, redeem_until, created_at, voided_at,
        (select count(*)::text from redemption_code where batch_id = redemption_batch.id and redeemed_at is not null) as redeemed
      from redemption_batch where $1::uuid is null or id = $1::uuid order by id desc limit 500`,
    values: [id],
  });
  const instant = (value: Date | string | null): Date | null => (value === null ? null : new Date(value));
  return rows.map((row) => ({
    ...{ id: row.id, name: row.name, currency: row.currency, count: row.count },
    amount: BigInt(row.amount),
    redeemed: Number(row.redeemed),
    redeemUntil: instant(row.redeem_until),
    createdAt: new Date(row.created_at),
    voidedAt: instant(row.voided_at),
  }));
}

interface CodeRow {
  readonly batch_id: string;
  readonly redeemed_by: string | null;
  readonly currency: string;
  readonly amount: string;
  readonly priority: number;
  readonly credit_days: number | null;
  readonly is_open: boolean;
}

/** An unknown code, one of a voided batch, one that is over and one that somebody else has used are told alike. */
async function redeem(
  transaction: Transaction,
  { code, idempotencyKey }: z.output<typeof redeemInput>,
): Promise<Redeemed | Refusal> {
  const database = asQueryable(transaction);
  const { tenantId, actorMemberId } = transaction.scope;
  const codeHash = sha256(code);
  // Locked: of two who redeem one code at once the second finds it taken.
  const { rows } = await database.query<CodeRow>({
    text: `
      select code.batch_id, code.redeemed_by, batch.currency, batch.amount::text, batch.priority, batch.credit_days,
        batch.voided_at is null and coalesce(batch.redeem_until > now(), true) as is_open
      from redemption_code code join redemption_batch batch on batch.id = code.batch_id
      where code.code_hash = $1::text for update of code`,
    values: [codeHash],
  });
  const [row] = rows;
  if (row === undefined) return refuse('not_found', ['code']);
  const { currency } = row;
  const amount = BigInt(row.amount);
  const reason = `code of batch ${row.batch_id}`;
  if (row.redeemed_by !== null) {
    const standing = await findRedeemed(transaction, { idempotencyKey, reason, amount });
    const isSame = row.redeemed_by === tenantId && standing !== null;
    return isSame ? { transferId: standing, currency, amount } : refuse('not_found', ['code']);
  }
  if (!row.is_open) return refuse('not_found', ['code']);
  const expiresAt = row.credit_days === null ? null : new Date(Date.now() + row.credit_days * DAY_MS);
  const added = await addCredit(database, {
    ...{ tenantId, currency, amount, kind: 'redemption', priority: row.priority, expiresAt },
    ...{ idempotencyKey, reason, actorMemberId },
  });
  if (added instanceof Refusal) return added;
  if (!added.isNew) return refuse('idempotency_mismatch', ['idempotencyKey']);
  await database.query({
    text: 'update redemption_code set redeemed_by = $2::uuid, redeemed_at = now() where code_hash = $1::text',
    values: [codeHash, tenantId],
  });
  const details = { batchId: row.batch_id, transferId: added.transferId };
  await transaction.audit({ action: 'code-redeemed', subjectKind: 'tenant', subjectId: tenantId, details });
  return { transferId: added.transferId, currency, amount };
}

async function findRedeemed(
  transaction: Transaction,
  { idempotencyKey, reason, amount }: { idempotencyKey: string; reason: string; amount: bigint },
): Promise<string | null> {
  const { rows } = await asQueryable(transaction).query<{ id: string }>({
    text: `
      select id from transfer where tenant_id = $1::uuid and idempotency_key = $2::text and kind = 'redemption'
        and reason = $3::text and amount = $4::numeric`,
    values: [transaction.scope.tenantId, idempotencyKey, reason, amount.toString()],
  });
  return rows[0]?.id ?? null;
}
