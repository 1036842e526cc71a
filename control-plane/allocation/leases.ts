import { z } from 'zod';
import { reasonSchema } from '../billing/inputs.js';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';

/** A slice of a wallet or a budget that a data plane holds or held. Amounts in units. */
export interface Lease {
  readonly id: string;
  readonly spoolId: string;
  readonly budgetId: string | null;
  readonly currency: string;
  readonly granted: bigint;
  readonly used: bigint;
  readonly returned: bigint;
  readonly admitUntil: Date;
  readonly closedAt: Date | null;
  readonly isLost: boolean;
}

/** A run of a data plane's process, as far as it held leases. */
export interface LeaseSpool {
  readonly spoolId: string;
  readonly dataPlaneId: string;
  readonly createdAt: Date;
  readonly fencedAt: Date | null;
  readonly lostAt: Date | null;
}

const lossInput = z.object({ spoolId: z.uuid('is no id'), reason: reasonSchema });

export interface Leases {
  /** The tenant's, newest first; at most 500. */
  list(scope: Scope, isOpen: boolean): Promise<Lease[]>;
  /** Newest first; at most 500. For the operator. */
  spools(scope: Scope): Promise<LeaseSpool[]>;
  /**
   * Says that a spool will not come back. What its leases have left returns to their tenants within seconds; what is reported on
   * them later is the operator's loss. Said again, it changes nothing.
   */
  declareLost(scope: Scope, input: z.input<typeof lossInput>): Promise<LeaseSpool | Refusal>;
}

export function createLeases({ run }: { run: RunTransaction }): Leases {
  return {
    list: (scope, isOpen) => run(scope, (transaction) => listLeases(transaction, isOpen)),
    spools: (scope) => run(scope, (transaction) => readSpools(transaction, null)),
    async declareLost(scope, input) {
      const checked = checkInput(lossInput, input);
      return checked instanceof Refusal ? checked : run(scope, (transaction) => declareLost(transaction, checked));
    },
  };
}

interface LeaseRow {
  readonly id: string;
  readonly spool_id: string;
  readonly budget_id: string | null;
  readonly currency: string;
  readonly granted: string;
  readonly used: string;
  readonly returned: string;
  readonly admit_until: Date | string;
  readonly closed_at: Date | string | null;
  readonly is_lost: boolean;
}

async function listLeases(transaction: Transaction, isOpen: boolean): Promise<Lease[]> {
  const { rows } = await asQueryable(transaction).query<LeaseRow>({
    text: `
      select id, spool_id, budget_id, currency, granted::text, used::text, returned::text, admit_until, closed_at, is_lost
      from lease where tenant_id = $1::uuid and (closed_at is null or not $2::boolean) order by id desc limit 500`,
    values: [transaction.scope.tenantId, isOpen],
  });
  return rows.map((row) => ({
    ...{ id: row.id, spoolId: row.spool_id, budgetId: row.budget_id, currency: row.currency, isLost: row.is_lost },
    ...{ granted: BigInt(row.granted), used: BigInt(row.used), returned: BigInt(row.returned) },
    ...{ admitUntil: new Date(row.admit_until), closedAt: row.closed_at === null ? null : new Date(row.closed_at) },
  }));
}

interface SpoolRow {
  readonly spool_id: string;
  readonly data_plane_id: string;
  readonly created_at: Date | string;
  readonly fenced_at: Date | string | null;
  readonly lost_at: Date | string | null;
}

async function readSpools(transaction: Transaction, spoolId: string | null): Promise<LeaseSpool[]> {
  const { rows } = await asQueryable(transaction).query<SpoolRow>({
    text: `
      select spool_id, data_plane_id, created_at, fenced_at, lost_at from lease_spool
      where $1::uuid is null or spool_id = $1::uuid order by created_at desc limit 500`,
    values: [spoolId],
  });
  return rows.map((row) => ({
    ...{ spoolId: row.spool_id, dataPlaneId: row.data_plane_id, createdAt: new Date(row.created_at) },
    fencedAt: row.fenced_at === null ? null : new Date(row.fenced_at),
    lostAt: row.lost_at === null ? null : new Date(row.lost_at),
  }));
}

async function declareLost(
  transaction: Transaction,
  { spoolId, reason }: z.output<typeof lossInput>,
): Promise<LeaseSpool | Refusal> {
  const { rows } = await asQueryable(transaction).query<{ spool_id: string }>({
    text: `
      update lease_spool set lost_at = now(), fenced_at = coalesce(fenced_at, now())
      where spool_id = $1::uuid and lost_at is null returning spool_id`,
    values: [spoolId],
  });
  const [spool] = await readSpools(transaction, spoolId);
  if (spool === undefined) return refuse('not_found', ['spoolId']);
  if (rows.length > 0) {
    const details = { reason };
    await transaction.audit({ action: 'spool-declared-lost', subjectKind: 'spool', subjectId: spoolId, details });
  }
  return spool;
}
