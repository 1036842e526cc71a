import { z } from 'zod';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { DataPlane } from '../publishing/entities.js';
import { Target } from '../routes/entities.js';
import { readReportedHealth, targetHealthOf, type DataPlaneHealth, type ReportedTarget } from './reported-health.js';

/** `half-open`: one call at a time is let through, and its end decides. */
export const TARGET_STATES = ['well', 'half-open', 'breaker-open', 'cooling-down', 'credential-parked'] as const;
export type TargetState = (typeof TARGET_STATES)[number];

/** How a target does, seen from one data plane. */
export interface TargetHealthReport {
  readonly dataPlaneId: string;
  /** The data plane's; null where the scope may not know it. */
  readonly region: string | null;
  readonly reportedAt: Date;
  readonly target: Target;
  readonly state: TargetState;
  readonly until: Date | null;
  /** What it counts, where the target was called lately. */
  readonly counts: ReportedTarget | null;
}

/** A credential that its provider refuses, or did. */
export interface CredentialFault {
  readonly id: string;
  readonly credentialId: string;
  readonly providerStatus: number | null;
  readonly openedAt: Date;
  readonly resolvedAt: Date | null;
  readonly resolution: 'recovered' | 'changed' | 'resumed' | null;
  /** Data planes that have it parked now. */
  readonly parkedAt: number;
}

const questionInput = z.object({
  dataPlaneId: z.uuid().nullish(),
  region: z.string().max(60).nullish(),
  credentialId: z.uuid().nullish(),
  isBlocked: z.boolean().default(false),
});

export interface HealthView {
  /** Of targets of credentials that the scope may see; what is blocked first, at most 1,000. */
  targets(scope: Scope, question: z.input<typeof questionInput>): Promise<TargetHealthReport[] | Refusal>;
  /** Of credentials that the scope may see, newest first, at most 500. */
  faults(scope: Scope, isOpen: boolean): Promise<CredentialFault[]>;
}

const MAX_TARGETS = 1_000;

export function createHealthView({ run }: { run: RunTransaction }): HealthView {
  return {
    targets: async (scope, question) => {
      const checked = checkInput(questionInput, question);
      return checked instanceof Refusal ? checked : run(scope, (transaction) => readTargets(transaction, checked));
    },
    faults: (scope, isOpen) => run(scope, (transaction) => readFaults(transaction, isOpen)),
  };
}

async function readTargets(
  transaction: Transaction,
  { dataPlaneId = null, region, credentialId, isBlocked }: z.output<typeof questionInput>,
): Promise<TargetHealthReport[]> {
  const regions = await readRegions(transaction);
  const known = await readReportedHealth(transaction, dataPlaneId);
  const asked = region == null ? known : known.filter((each) => regions.get(each.dataPlaneId) === region);
  const credentialIds = credentialId == null ? credentialsOf(asked) : [credentialId];
  const targets = await transaction.em.find(
    Target,
    { credentialId: { $in: credentialIds } },
    { orderBy: { id: 'asc' } },
  );
  const reports = asked.flatMap((health) =>
    targets.flatMap((target) => toReport(health, target, regions.get(health.dataPlaneId) ?? null)),
  );
  const rank = ({ state }: TargetHealthReport): number => -TARGET_STATES.indexOf(state);
  return reports
    .filter(({ state }) => !isBlocked || state !== 'well')
    .toSorted((one, other) => rank(one) - rank(other))
    .slice(0, MAX_TARGETS);
}

/** Row-level security shows data planes to the operator only. */
async function readRegions({ em }: Transaction): Promise<ReadonlyMap<string, string>> {
  return new Map((await em.find(DataPlane, {})).map(({ id, region }) => [id, region]));
}

function credentialsOf(all: readonly DataPlaneHealth[]): string[] {
  const entries = all.flatMap(({ parked, coolDowns, targets }) => [
    ...[...parked.values(), ...coolDowns.values(), ...targets.values()],
  ]);
  return [...new Set(entries.map(({ credentialId }) => credentialId))];
}

function toReport(known: DataPlaneHealth, target: Target, region: string | null): TargetHealthReport[] {
  const health = targetHealthOf(known, target, { at: Date.now(), streamed: false });
  if (health === undefined) return [];
  const found = known.targets.get(target.id);
  const counts = found?.credentialId === target.credentialId ? found : null;
  const isProbed = known.parked.has(target.credentialId) || counts?.isBreakerOpen === true;
  return [
    {
      ...{ dataPlaneId: known.dataPlaneId, region, reportedAt: known.receivedAt, target, counts },
      state: health.blocked ?? (isProbed ? 'half-open' : 'well'),
      until: health.blockedUntil === undefined ? null : new Date(health.blockedUntil),
    },
  ];
}

interface FaultRow {
  readonly id: string;
  readonly credential_id: string;
  readonly provider_status: number | null;
  readonly opened_at: Date | string;
  readonly resolved_at: Date | string | null;
  readonly resolution: CredentialFault['resolution'];
  readonly parked_at: number;
}

async function readFaults(transaction: Transaction, isOpen: boolean): Promise<CredentialFault[]> {
  const { rows } = await asQueryable(transaction).query<FaultRow>({
    text: `
      select id, credential_id, provider_status, opened_at, resolved_at, resolution, (
          select count(*)::integer from reported_health parked
          where parked.kind = 'credential' and parked.credential_id = fault.credential_id
            and parked.credential_seq = fault.credential_seq
        ) as parked_at
      from credential_fault fault where resolved_at is null or not $1::boolean order by id desc limit 500`,
    values: [isOpen],
  });
  return rows.map((row) => ({
    ...{ id: row.id, credentialId: row.credential_id, providerStatus: row.provider_status, parkedAt: row.parked_at },
    ...{ openedAt: new Date(row.opened_at), resolution: row.resolution },
    resolvedAt: row.resolved_at === null ? null : new Date(row.resolved_at),
  }));
}
