import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createApiKey } from '@pingtoken/shared/key-format';
import type { RoutingStrategy } from '@pingtoken/shared/route-policy';
import { ConfigJournal, createTestIdentity, type TestIdentity } from '../kit/config-documents.js';
import type { SelfSigned } from '../kit/self-signed.js';
import { makeTemporaryFolder } from '../kit/temporary-folder.js';
import type { Cleanup } from './cleanup.js';

export interface EdgeTarget {
  readonly region: string;
  readonly port: number;
}

export interface EdgeDataPlane {
  readonly port: number;
  readonly bearer: string;
}

/** A process of the data plane as it is shipped, with its config on disk; its model `m` goes to these targets. */
export async function startEdgeDataPlane(options: {
  readonly targets: readonly EdgeTarget[];
  readonly strategy: RoutingStrategy;
  readonly certificate: SelfSigned;
  readonly warmConnections: number;
  readonly cleanup: Cleanup;
}): Promise<EdgeDataPlane> {
  const { cleanup, certificate } = options;
  const home = await makeTemporaryFolder('bench-edge');
  cleanup.add(() => home.remove());
  const identity = createTestIdentity();
  const journal = new ConfigJournal();
  const { secret, hash } = createApiKey();
  publish(journal, { ...options, identity, hash });
  const file = { ...identity.file, region: options.targets[0]?.region };
  await writeFile(join(home.path, 'identity.json'), JSON.stringify(file), { mode: 0o600 });
  await writeFile(join(home.path, 'certificate.pem'), certificate.cert);
  await mkdir(join(home.path, 'config'));
  await writeFile(join(home.path, 'config', 'snapshot.ndjson'), journal.snapshot(identity), { mode: 0o600 });
  const child = fork(new URL('../../../../data-plane/dist/bundle/main.js', import.meta.url).pathname, {
    env: {
      DATA_PLANE_PORT: '0',
      CONTROL_PLANE_URL: 'http://127.0.0.1:9',
      QUEUE_URL: 'redis://127.0.0.1:9',
      PRIVATE_UPSTREAMS: '127.0.0.0/8',
      DATA_PLANE_HOME: home.path,
      CONFIG_VERIFY_KEY: journal.verifyKey,
      NODE_EXTRA_CA_CERTS: join(home.path, 'certificate.pem'),
      WARM_CONNECTIONS: String(options.warmConnections),
      LOG_LEVEL: 'silent',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  cleanup.add(async () => {
    if (child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const [message] = (await once(child, 'message')) as [{ readonly ports: readonly number[] }];
  return { port: message.ports[0] ?? 0, bearer: secret };
}

function publish(
  journal: ConfigJournal,
  options: {
    readonly targets: readonly EdgeTarget[];
    readonly strategy: RoutingStrategy;
    readonly identity: TestIdentity;
    readonly hash: string;
  },
): void {
  const { targets, strategy, identity, hash } = options;
  const [tenantId, memberId, modelId, priceCardId] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
  const providers = targets.map((target) => ({ ...target, id: randomUUID(), credentialId: randomUUID() }));
  const sealingKey = Buffer.from(identity.sealing.publicKey).toString('base64url');
  // What is free needs no lease, and so no control plane.
  const rates = { input: '0', output: '0' };
  journal.publish(
    { kind: 'tenant', id: tenantId, status: 'active', grantedProviderIds: providers.map(({ id }) => id) },
    { kind: 'member', id: memberId, tenantId, sealingKey },
    { kind: 'api-key', id: randomUUID(), tenantId, memberId, hash, status: 'active', expiresAt: null },
    { kind: 'rate-card', id: priceCardId, versions: [{ id: randomUUID(), effectiveFrom: 0, currency: 'USD', rates }] },
    ...providers.flatMap(({ id, credentialId, region, port }) => [
      {
        ...{ kind: 'provider', id, slug: `p-${region}`, baseUrl: `https://127.0.0.1:${port}/v1`, region },
        ...{ dialect: 'openai', auth: 'bearer', status: 'active' },
      },
      {
        ...{ kind: 'credential', id: credentialId, providerId: id, tenantId: null },
        origin: `https://127.0.0.1:${port}`,
        contentKeyId: journal.contentKeyId,
        sealedSecret: journal.sealSecret(credentialId, 'sk-bench'),
      },
    ]),
    {
      ...{ kind: 'model', id: modelId, name: 'm', operations: ['chat-completions'], capabilities: [] },
      ...{ contextWindow: null, maxOutputTokens: null, status: 'active', createdAt: 0, priceCardId },
    },
    {
      ...{ kind: 'route', id: randomUUID(), modelId, tenantId: null, dropsUnsupported: false, strategy },
      targets: providers.map(({ id, credentialId, region }) => ({
        ...{ id: randomUUID(), providerId: id, credentialId, upstreamModel: 'u', priority: 0, weight: 1 },
        ...{ costCardId: null, region },
      })),
    },
  );
}
