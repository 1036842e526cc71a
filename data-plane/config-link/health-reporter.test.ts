import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ReportedHealth } from '@pingtoken/shared/health-report';
import { ConfigJournal, createTestIdentity } from '../../test/kit/config-documents.js';
import { ConfigServer } from '../../test/kit/config-server.js';
import { waitFor } from '../../test/kit/wait-for.js';
import { readIdentity } from '../identity.js';
import { createControlPlaneClient, type ControlPlaneClient } from './control-plane-client.js';
import { createHealthReporter, type HealthReporter, type HealthReporterTiming } from './health-reporter.js';

const identity = createTestIdentity();
const runId = randomUUID();
const PATIENCE = { timeoutMs: 20_000 };
let home: string;
let server: ConfigServer;
let client: ControlPlaneClient;
let reporter: HealthReporter | undefined;
let warnings = 0;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'health-'));
  await writeFile(join(home, 'identity.json'), JSON.stringify(identity.file), { mode: 0o600 });
  server = new ConfigServer(new ConfigJournal(), identity);
  await server.listen();
  client = createControlPlaneClient({ controlPlaneUrl: server.url, identity: readIdentity(home) });
  warnings = 0;
});
afterEach(async () => {
  await reporter?.close();
  await client.close();
  await server.stop();
  await rm(home, { recursive: true, force: true });
});

function start(describe: () => ReportedHealth, timing: Partial<HealthReporterTiming> = {}): HealthReporter {
  const logger = { warn: () => void (warnings += 1) };
  reporter = createHealthReporter({ client, runId, logger, timing: { intervalMs: 600_000, ...timing } });
  reporter.watch(describe);
  return reporter;
}
const parkedOnly = (credentialId: string, credentialSeq: number): ReportedHealth => ({
  parked: [{ credentialId, credentialSeq, status: 402, parkedForMs: 1, blockedForMs: 2 }],
  ...{ coolDowns: [], targets: [] },
});
const NOTHING: ReportedHealth = { parked: [], coolDowns: [], targets: [] };
const reports = (count: number) =>
  waitFor(() => server.healthReports.length >= count, { ...PATIENCE, what: `${count} reports` });

describe('health reports', () => {
  it('begin with one that says what there is, then go out on change, many changes in one', async () => {
    let seq = 0;
    const credentialId = randomUUID();
    const started = start(() => (seq === 0 ? NOTHING : parkedOnly(credentialId, seq)), { spacingMs: 100 });
    await reports(1);
    expect(server.healthReports).toEqual([{ version: 1, runId, seq: 1, ...NOTHING }]);
    for (seq = 1; seq < 500; seq += 1) started.changed();
    await reports(2);
    expect(server.healthReports[1]).toEqual({ version: 1, runId, seq: 2, ...parkedOnly(credentialId, 500) });
    expect(server.healthReports).toHaveLength(2);
  });

  it('go out without any change too', async () => {
    start(() => NOTHING, { intervalMs: 20 });
    await reports(3);
    expect(server.healthReports.map(({ seq }) => seq).slice(0, 3)).toEqual([1, 2, 3]);
  });

  it('are tried again until the control plane takes them, with what is known then', async () => {
    server.status = 503;
    let seq = 1;
    const credentialId = randomUUID();
    const started = start(() => parkedOnly(credentialId, seq));
    await waitFor(() => warnings > 0, { ...PATIENCE, what: 'a failure' });
    seq = 2;
    started.changed();
    server.status = undefined;
    await reports(1);
    expect(server.healthReports[0]?.parked).toMatchObject([{ credentialSeq: 2 }]);
    await server.stop();
    seq = 3;
    started.changed();
    await waitFor(() => warnings > 1, { ...PATIENCE, what: 'a failure' });
    await server.listen();
    await waitFor(() => server.healthReports.at(-1)?.parked[0]?.credentialSeq === 3, { ...PATIENCE, what: 'a report' });
    expect(warnings).toBe(2);
  });

  it('hold nobody up who closes', async () => {
    await server.stop();
    const started = start(() => NOTHING);
    await started.close();
    started.changed();
    expect(server.healthReports).toEqual([]);
  });
});
