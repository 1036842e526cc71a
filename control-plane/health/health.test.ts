import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_REPORTED } from '@pingtoken/shared/health-report';
import { CONFIG_LINK, parseJson } from '@pingtoken/shared/wire';
import { startControlPlane, type RegisteredOwner, type TestControlPlane } from '../../test/kit/control-plane.js';
import {
  coolDown,
  enrolReporting,
  parkedCredential,
  reportedTarget,
  type ReportingDataPlane,
} from '../../test/kit/reporting-data-plane.js';
import { openPersonKeyDatabase } from '../database/orm.js';
import { createPersonVault } from '../identity/person-vault.js';
import type { Mail } from '../workers/mail-transport.js';
import { createNoticeSender } from '../workers/send-notices.js';
import { createOwnerNotices } from '../workers/tell-owners.js';
import { createHealthKeeper } from './forget-silent.js';

let controlPlane: TestControlPlane;
let database: pg.Pool;
let operator: string;
let tenant: RegisteredOwner;
let providerId: string;
let first: ReportingDataPlane;
let second: ReportingDataPlane;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  database = new pg.Pool({ connectionString: controlPlane.database.urls.owner, max: 2 });
  operator = await controlPlane.signInOperator();
  tenant = await controlPlane.registerOwner('ada');
  const links = { termsUrl: 'https://vendor.example/terms', privacyUrl: 'https://vendor.example/privacy' };
  const vendor = { slug: 'vendor', name: 'Vendor', baseUrl: 'https://vendor.example/v1', ...links };
  providerId = await idOf('createProvider', 'provider', vendor);
  first = await enrolReporting(controlPlane, 'eu');
  second = await enrolReporting(controlPlane, 'us');
});
afterAll(async () => {
  await first.close();
  await second.close();
  await database.end();
  await controlPlane.close();
});

interface Done {
  readonly userErrors: readonly { readonly code: string; readonly path: readonly string[] }[];
}

async function mutate<Fields extends object>(name: string, selection: string, input: object, token = operator) {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${name}(input: $input) { ${selection} userErrors { code path } } }`;
  const { data, errors } = await controlPlane.graphql<Record<string, Fields & Done>>(query, { input }, token);
  expect(errors).toBeUndefined();
  const payload = data[name];
  if (payload === undefined) throw new Error('no payload');
  return payload;
}

async function idOf(name: string, what: string, input: object, token = operator): Promise<string> {
  const payload = await mutate<Record<string, { id: string } | null>>(name, `${what} { id }`, input, token);
  const id = payload[what]?.id;
  if (id === undefined) throw new Error(JSON.stringify(payload.userErrors));
  return id;
}

async function ask<Data>(query: string, token = operator, variables: Record<string, unknown> = {}): Promise<Data> {
  const { data, errors } = await controlPlane.graphql<Data>(query, variables, token);
  expect(errors).toBeUndefined();
  return data;
}

const newCredential = (owner?: RegisteredOwner): Promise<string> => {
  const input = { providerId, name: 'a credential', secret: 'sk-test', tenantId: owner?.id ?? null };
  return idOf('createCredential', 'credential', input, owner?.token);
};

async function seqOf(credentialId: string): Promise<number> {
  const { rows } = await database.query<{ seq: string }>('select seq from config_object where object_id = $1', [
    credentialId,
  ]);
  return Number(rows[0]?.seq);
}

const parked = async (credentialId: string, change: object = {}) => ({
  parked: [parkedCredential(credentialId, await seqOf(credentialId), change)],
});

/** Tenants that were told of faults of a credential, by fault. */
async function told(credentialId: string): Promise<string[][]> {
  const { rows } = await database.query<{ tenants: string[] }>(
    `select array_agg(outbox.tenant_id::text) filter (where outbox.id is not null) as tenants
     from credential_fault fault left join outbox on outbox.payload->>'faultId' = fault.id::text
     where fault.credential_id = $1 group by fault.id order by fault.id`,
    [credentialId],
  );
  return rows.map(({ tenants }) => tenants.sort());
}

interface Fault {
  readonly credentialId: string;
  readonly providerStatus: number | null;
  readonly resolution: string | null;
  readonly parkedAt: number;
}
async function faultsOf(credentialId: string, token = operator): Promise<Fault[]> {
  const text = '{ credentialFaults(isOpen: false) { credentialId providerStatus resolution parkedAt } }';
  const { credentialFaults } = await ask<{ credentialFaults: Fault[] }>(text, token);
  return credentialFaults.filter((fault) => fault.credentialId === credentialId);
}

async function newModel(name: string, targets: readonly object[], tenantId: string | null = null): Promise<string[]> {
  const card = { name: `price of ${name}`, purpose: 'PRICE', currency: 'USD', source: 'a test' };
  const prices = ['INPUT', 'OUTPUT'].map((dimension) => ({ dimension, amount: '1' }));
  const priceCardId = await idOf('createRateCard', 'rateCard', { ...card, prices });
  const modelId = await idOf('createModel', 'model', { name, operations: ['CHAT_COMPLETIONS'], priceCardId });
  const { route } = await mutate<{ route: { targets: { id: string }[] } }>('createRoute', 'route { targets { id } }', {
    ...{ modelId, tenantId, strategy: 'LEAST_OUTSTANDING' },
    targets: targets.map((target) => ({ providerId, upstreamModel: 'm', ...target })),
  });
  return route.targets.map(({ id }) => id);
}

const operatorTenant = (): string => controlPlane.operator.tenantId;

describe('a credential that its provider refuses', () => {
  it('is one fault with one notice, however many data planes say so, at once and again', async () => {
    const credentialId = await newCredential();
    const both = await parked(credentialId, { status: 402 });
    await Promise.all([first.report(both), second.report(both)]);
    await Promise.all([first.report(both), second.report(both)]);
    expect(await faultsOf(credentialId)).toEqual([
      { credentialId, providerStatus: 402, resolution: null, parkedAt: 2 },
    ]);
    expect(await told(credentialId)).toEqual([[operatorTenant()]]);
    await first.report({});
    expect(await faultsOf(credentialId)).toMatchObject([{ resolution: null, parkedAt: 1 }]);
    await second.report({});
    expect(await faultsOf(credentialId)).toMatchObject([{ resolution: 'RECOVERED', parkedAt: 0 }]);
    await second.report(both);
    expect(await faultsOf(credentialId)).toMatchObject([{ resolution: null, parkedAt: 1 }]);
    expect(await told(credentialId)).toHaveLength(1);
    await second.report({});
    await database.query(
      `update credential_fault set resolved_at = now() - interval '1 hour' where credential_id = $1`,
      [credentialId],
    );
    await first.report(both);
    expect((await told(credentialId)).map((tenants) => tenants.length)).toEqual([1, 1]);
  });

  it('is told to the tenant too whose own it is, and shown to no other', async () => {
    const credentialId = await newCredential(tenant);
    await first.report(await parked(credentialId));
    expect(await told(credentialId)).toEqual([[operatorTenant(), tenant.id].sort()]);
    expect(await faultsOf(credentialId, tenant.token)).toHaveLength(1);
    const stranger = await controlPlane.registerOwner('bob');
    expect(await faultsOf(credentialId, stranger.token)).toEqual([]);
    const shared = await newCredential();
    await first.report(await parked(shared));
    expect(await faultsOf(shared, tenant.token)).toEqual([]);
  });

  it('is mailed in words to whom it concerns', async () => {
    const credentialId = await newCredential(tenant);
    await first.report(await parked(credentialId, { status: 403 }));
    const logger = pino({ level: 'silent' });
    const { settings, database: urls } = controlPlane;
    const orm = await openPersonKeyDatabase({ url: settings.PERSON_KEYS_DATABASE_URL });
    const vault = createPersonVault({ orm, secret: settings.PERSON_KEYS_SECRET });
    const pool = new pg.Pool({ connectionString: urls.urls.worker, max: 2 });
    await createOwnerNotices({ pool, vault, logger }).consumeDue();
    const sent: Mail[] = [];
    const send = (mail: Mail): Promise<void> => Promise.resolve(void sent.push(mail));
    await createNoticeSender({ database: pool, vault, logger, transport: { send, close: () => undefined } }).sendDue();
    await pool.end();
    await orm.close();
    const mails = sent.filter(({ text }) => text.includes(credentialId));
    expect(mails.map(({ to, subject }) => `${to}: ${subject}`).sort()).toEqual([
      'ada@example.com: Vendor refuses a credential',
      'operator@example.com: Vendor refuses a credential',
    ]);
    expect(mails.find(({ to }) => to.startsWith('ada'))?.text).toMatch(
      /Vendor refuses it with status 403\.\n\nThe credential is your own\./,
    );
    expect(mails.map(({ text }) => text).join()).not.toContain('sk-test');
  });

  it('is forgotten with the data planes that are gone', async () => {
    const credentialId = await newCredential();
    const [silent, revoked] = [await enrolReporting(controlPlane), await enrolReporting(controlPlane)];
    for (const dataPlane of [silent, revoked]) await dataPlane.report(await parked(credentialId));
    const pool = new pg.Pool({ connectionString: controlPlane.database.urls.worker, max: 1 });
    const keeper = createHealthKeeper({ pool, logger: { warn: () => undefined } });
    expect(await keeper.forgetSilent()).toBe(0);
    await mutate('revokeDataPlane', 'dataPlane { id }', { id: revoked.id });
    expect(await keeper.forgetSilent()).toBe(1);
    expect(await faultsOf(credentialId)).toMatchObject([{ resolution: null, parkedAt: 1 }]);
    await database.query(
      `update health_report set received_at = now() - interval '6 minutes' where data_plane_id = $1`,
      [silent.id],
    );
    expect(await keeper.forgetSilent()).toBe(1);
    expect(await faultsOf(credentialId)).toMatchObject([{ resolution: 'RECOVERED', parkedAt: 0 }]);
    await expect(revoked.report({})).rejects.toThrow(/401/);
    for (const dataPlane of [silent, revoked]) await dataPlane.close();
    await pool.end();
  });
});

describe('the way back', () => {
  it('publishes the credential anew, and what is said of it as it was before opens no fault', async () => {
    const credentialId = await newCredential();
    const before = await parked(credentialId);
    await first.report(before);
    const resumed = await mutate('resumeCredential', 'credential { id }', { credentialId });
    expect(resumed).toMatchObject({ credential: { id: credentialId }, userErrors: [] });
    expect(await faultsOf(credentialId)).toMatchObject([{ resolution: 'RESUMED', parkedAt: 0 }]);
    expect(await seqOf(credentialId)).toBeGreaterThan(before.parked[0]?.credentialSeq ?? Infinity);
    await first.report(before);
    expect(await faultsOf(credentialId)).toHaveLength(1);
    await first.report(await parked(credentialId));
    expect(await faultsOf(credentialId)).toMatchObject([{ resolution: null }, { resolution: 'RESUMED' }]);
    expect(await told(credentialId)).toHaveLength(2);
  });

  it('is another secret too', async () => {
    const credentialId = await newCredential(tenant);
    await first.report(await parked(credentialId));
    const sealed = async (): Promise<unknown> => {
      const { rows } = await database.query<{ line: string }>('select line from config_object where object_id = $1', [
        credentialId,
      ]);
      return (parseJson(rows[0]?.line ?? '') as { sealedSecret: string }).sealedSecret;
    };
    const before = await sealed();
    const input = { credentialId, secret: 'sk-another' };
    const replaced = await mutate('replaceCredentialSecret', 'credential { id }', input, tenant.token);
    expect(replaced.userErrors).toEqual([]);
    expect(await sealed()).not.toEqual(before);
    expect(await faultsOf(credentialId)).toMatchObject([{ resolution: 'CHANGED' }]);
    const wrong = await mutate('replaceCredentialSecret', 'credential { id }', { credentialId, secret: 'a\nb' });
    expect(wrong.userErrors).toMatchObject([{ code: 'INVALID_REQUEST', path: ['secret'] }]);
  });

  it('is nobody’s but the operator’s and its owner’s', async () => {
    const [shared, own] = [await newCredential(), await newCredential(tenant)];
    const stranger = await controlPlane.registerOwner('carol');
    for (const credentialId of [shared, own, randomUUID(), 'nonsense']) {
      const seq = await seqOf(shared);
      const refused = await mutate('resumeCredential', 'credential { id }', { credentialId }, stranger.token);
      expect(refused.userErrors).toMatchObject([{ path: ['credentialId'] }]);
      expect(await seqOf(shared)).toBe(seq);
    }
  });
});

describe('a report', () => {
  it('takes the place of the one before, and one that was overtaken is ignored', async () => {
    const credentialId = await newCredential();
    const dataPlane = await enrolReporting(controlPlane);
    await dataPlane.report(await parked(credentialId), 7);
    await dataPlane.report({}, 6);
    expect(await faultsOf(credentialId)).toMatchObject([{ parkedAt: 1 }]);
    await dataPlane.report({}, 8);
    expect(await faultsOf(credentialId)).toMatchObject([{ parkedAt: 0 }]);
    await dataPlane.close();
  });

  it('may name what is no more, and what it names twice counts once', async () => {
    const credentialId = await newCredential();
    const seq = await seqOf(credentialId);
    const twice = coolDown(credentialId, seq);
    await first.report({
      parked: [parkedCredential(randomUUID(), 1), parkedCredential(credentialId, seq)],
      coolDowns: [twice, twice, coolDown(credentialId, seq, { upstreamModel: "'; drop table tenant; --" })],
      targets: [reportedTarget(randomUUID(), credentialId), reportedTarget(randomUUID(), randomUUID())],
    });
    const { rows } = await database.query<{ kind: string }>(
      'select kind from reported_health where data_plane_id = $1 order by kind',
      [first.id],
    );
    expect(rows.map(({ kind }) => kind)).toEqual(['credential', 'model', 'model']);
  });

  it('of any other shape is refused', async () => {
    const credentialId = await newCredential();
    const entry = parkedCredential(credentialId, 1);
    const wrong: object[] = [
      { parked: [{ ...entry, secret: 'sk-test' }] },
      { parked: [{ ...entry, blockedForMs: -1 }] },
      { parked: Array.from({ length: MAX_REPORTED + 1 }, () => entry) },
      { coolDowns: [coolDown(credentialId, 1, { upstreamModel: 'm'.repeat(257) })] },
    ];
    for (const each of wrong) await expect(first.report(each)).rejects.toThrow(/400/);
    const anonymous = await fetch(controlPlane.url + CONFIG_LINK.health, { method: 'POST', body: '{}' });
    expect(anonymous.status).toBe(401);
    const full = Array.from({ length: MAX_REPORTED }, () => reportedTarget(randomUUID(), randomUUID()));
    await first.report({ targets: full, parked: [], coolDowns: [] });
  });
});

describe('the health of targets', () => {
  interface Health {
    readonly targetId: string;
    readonly state: string;
    readonly region: string | null;
    readonly until: string | null;
  }
  const healthOf = async (filter: string, token = operator): Promise<Health[]> => {
    const text = `{ targetHealth${filter} { targetId state region until failures requestsPerMinute } }`;
    return (await ask<{ targetHealth: Health[] }>(text, token)).targetHealth;
  };

  it('is what each data plane has said last, the blocked first, for tenants that of their own credentials', async () => {
    const [shared, own] = [await newCredential(), await newCredential(tenant)];
    const seq = await seqOf(shared);
    const names = ['well', 'open', 'probed', 'cooling'] as const;
    const ids = await newModel(
      'shown',
      names.map((upstreamModel) => ({ credentialId: shared, upstreamModel })),
    );
    const [well = '', open = '', probed = '', cooling = ''] = ids;
    const [owned = ''] = await newModel('owned', [{ credentialId: own }], tenant.id);
    await first.report({
      targets: [
        reportedTarget(well, shared),
        reportedTarget(open, shared, { isBreakerOpen: true, blockedForMs: 600_000, failures: 9 }),
        reportedTarget(probed, shared, { isBreakerOpen: true }),
        reportedTarget(owned, own),
      ],
      coolDowns: [coolDown(shared, seq, { upstreamModel: 'cooling' })],
    });
    await second.report(await parked(own));
    expect(await healthOf(`(credentialId: "${shared}", dataPlaneId: "${first.id}")`)).toMatchObject([
      { targetId: cooling, state: 'COOLING_DOWN', region: 'eu', until: expect.stringContaining('T') as string },
      { targetId: open, state: 'BREAKER_OPEN', failures: 9 },
      { targetId: probed, state: 'HALF_OPEN', until: null },
      { targetId: well, state: 'WELL', until: null, requestsPerMinute: 10 },
    ]);
    expect(await healthOf(`(region: "us", isBlocked: true, tenantId: "${tenant.id}")`)).toMatchObject([
      { targetId: owned, state: 'CREDENTIAL_PARKED' },
    ]);
    expect(await healthOf('', tenant.token)).toMatchObject([
      { targetId: owned, state: 'CREDENTIAL_PARKED', region: null },
      { targetId: owned, state: 'WELL', region: null },
    ]);
  });

  it('decides which way a plan takes at a data plane or in a region', async () => {
    const [refused, taken] = [await newCredential(), await newCredential()];
    const ids = await newModel('planned', [
      { credentialId: refused },
      { credentialId: taken },
      { credentialId: taken },
    ]);
    const [parkedTarget = '', busy = '', idle = ''] = ids;
    const grant = 'mutation ($input: ProviderIdInput!) { grantProvider(input: $input) { userErrors { code } } }';
    await ask(grant, tenant.token, { input: { providerId } });
    await first.report({
      ...(await parked(refused)),
      targets: [reportedTarget(busy, taken, { outstanding: 50 }), reportedTarget(idle, taken)],
    });
    await second.report({ targets: [reportedTarget(idle, taken, { outstanding: 50 })] });
    interface Planned {
      readonly healthFrom: string | null;
      readonly attempts: readonly { readonly targetId: string; readonly health: string }[];
      readonly excluded: readonly { readonly targetId: string; readonly why: string }[];
    }
    const planOf = async (input: object): Promise<Planned> => {
      const text = `query ($input: RoutePlanInput!, $tenantId: ID) { routePlan(input: $input, tenantId: $tenantId) {
        healthFrom healthReportedAt attempts { targetId health } excluded { targetId why } } }`;
      const variables = { input: { model: 'planned', ...input }, tenantId: tenant.id };
      return (await ask<{ routePlan: Planned }>(text, operator, variables)).routePlan;
    };
    for (const where of [{ dataPlaneId: first.id }, { region: 'eu' }]) {
      expect(await planOf(where)).toMatchObject({
        healthFrom: first.id,
        attempts: [
          { targetId: idle, health: 'WELL' },
          { targetId: busy, health: 'WELL' },
        ],
        excluded: [{ targetId: parkedTarget, why: 'CREDENTIAL_PARKED' }],
      });
    }
    const elsewhere = await planOf({ dataPlaneId: second.id });
    expect(elsewhere.attempts.at(-1)).toEqual({ targetId: idle, health: 'WELL' });
    expect(elsewhere.attempts.map(({ targetId }) => targetId)).toContain(parkedTarget);
    expect(await planOf({})).toMatchObject({ healthFrom: null, attempts: [{ health: 'UNKNOWN' }, {}, {}] });
  });
});
