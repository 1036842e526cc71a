import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { z } from 'zod';
import { DATABASE_LOGINS, databaseUrls } from '../database/provision.js';
import { platformScope } from '../database/transaction.js';
import { expectDone } from '../installation.js';
import { openServices } from '../services.js';
import { readLauncherEnvironment } from './environment.js';
import { openHome, readJsonFile } from './home.js';
import { databasePasswords, keepSecrets } from './kept-secrets.js';
import { runtimeSchema } from './runtime-file.js';

/**
 * `npm run seed -- --tenants 3 --keys 10`: fills the distribution that is running with tenants that have credit, a grant of the
 * simulator, and keys, to see lists and loads that are not empty. The bearers are printed with `--print-keys`.
 */
const { values } = parseArgs({
  options: {
    tenants: { type: 'string', default: '3' },
    keys: { type: 'string', default: '10' },
    'print-keys': { type: 'boolean', default: false },
  },
});
const counts = z
  .object({ tenants: z.coerce.number().int().min(1).max(1000), keys: z.coerce.number().int().min(0).max(200_000) })
  .parse(values);

const home = await openHome(readLauncherEnvironment(process.env).PINGTOKEN_HOME);
const runtime = await readJsonFile(home.path('runtime.json'), runtimeSchema);
if (runtime === null) {
  console.error('Nothing runs here: start it with `npm start` first.');
  process.exit(1);
}
const secrets = await keepSecrets(home);
const urls = databaseUrls({ adminUrl: runtime.databaseUrl, passwords: databasePasswords(secrets, DATABASE_LOGINS) });
const services = await openServices(
  {
    API_DATABASE_URL: urls.api,
    PERSON_KEYS_DATABASE_URL: urls.personKeys,
    ...secrets.controlPlane,
    REGISTRATION: 'closed',
    PRIVATE_UPSTREAMS: [],
  },
  pino({ level: 'silent' }),
);
const anyTenant = platformScope(runtime.tenantId);
const simulator = (await services.providers.list(anyTenant)).find(({ slug }) => slug === 'simulator');

for (let number = 1; number <= counts.tenants; number += 1) {
  const suffix = crypto.randomUUID().slice(0, 8);
  const account = expectDone(
    await services.registration.createAccount(
      {
        kind: 'enterprise',
        organizationName: `Seeded ${suffix}`,
        name: `Seed ${suffix}`,
        email: `seed-${suffix}@pingtoken.example`,
        password: crypto.randomUUID(),
      },
      { tenantKind: 'enterprise', role: 'owner', emailVerified: true },
    ),
  );
  const scope = { ...platformScope(account.tenant.id), actorMemberId: account.member.id };
  const credit = { amount: '100', currency: 'USD', idempotencyKey: 'seed', reason: 'seeded credit' };
  expectDone(await services.ledger.topUp(scope, credit));
  if (simulator !== undefined) expectDone(await services.providers.grant(scope, simulator.id));
  const bearers = await services.keys.createMany(scope, account.member.id, counts.keys);
  console.log(`tenant ${number} of ${counts.tenants}: ${account.tenant.id}, ${bearers.length} keys, $100`);
  if (values['print-keys']) console.log(bearers.join('\n'));
}
await services.close();
