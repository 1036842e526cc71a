import { randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { createSealingPair, createSigningPair, readSigningKey } from '@pingtoken/shared/crypto';
import type { HealthReport, ReportedHealth } from '@pingtoken/shared/health-report';
import { expectDone } from '../../control-plane/installation.js';
import { createControlPlaneClient } from '../../data-plane/config-link/control-plane-client.js';
import type { TestControlPlane } from './control-plane.js';

type Parked = Partial<HealthReport['parked'][number]>;
type CoolDown = Partial<HealthReport['coolDowns'][number]>;
type Target = Partial<HealthReport['targets'][number]>;

/** An enrolled data plane that does nothing but report, over the client that real ones use. */
export interface ReportingDataPlane {
  readonly id: string;
  readonly runId: string;
  /** In place of what it said before. @throws Error where it is not taken */
  report(health: Partial<ReportedHealth>, seq?: number): Promise<void>;
  close(): Promise<void>;
}

export async function enrolReporting(controlPlane: TestControlPlane, region = 'test'): Promise<ReportingDataPlane> {
  const [id, runId] = [uuidv7(), randomUUID()];
  const signing = createSigningPair();
  const sealing = createSealingPair();
  const sealingKey = Buffer.from(sealing.publicKey).toString('base64url');
  const { services, operator } = controlPlane;
  expectDone(
    await services.dataPlanes.enrol(operator, { id, name: id, region, verifyKey: signing.publicKey, sealingKey }),
  );
  const identity = { id, region, signingKey: readSigningKey(signing.privateKey), sealing };
  const client = createControlPlaneClient({ controlPlaneUrl: controlPlane.url, identity });
  let last = 0;
  return {
    ...{ id, runId },
    report: async (health, seq = last + 1) => {
      last = Math.max(last, seq);
      const report: HealthReport = { version: 1, runId, seq, parked: [], coolDowns: [], targets: [], ...health };
      await client.sendHealth(report, AbortSignal.timeout(20_000));
    },
    close: () => client.close(),
  };
}

export const parkedCredential = (credentialId: string, credentialSeq: number, change: Parked = {}) => ({
  ...{ credentialId, credentialSeq, status: 401, parkedForMs: 1_000, blockedForMs: 600_000, ...change },
});

export const coolDown = (credentialId: string, credentialSeq: number, change: CoolDown = {}) => ({
  ...{ credentialId, credentialSeq, upstreamModel: 'm', blockedForMs: 600_000, isStated: true, ...change },
});

export const reportedTarget = (targetId: string, credentialId: string, change: Target = {}) => ({
  ...{ targetId, credentialId, isBreakerOpen: false, blockedForMs: 0, outstanding: 0, latencyMs: null },
  ...{ streamLatencyMs: null, attempts: 10, failures: 0, requestsPerMinute: 10, tokensPerMinute: 1_000, ...change },
});
