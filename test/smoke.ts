// `node test/dist/test/smoke.js <runtime.json>`: the call that .ci/run has just made shows up as usage within 5 s.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const DEADLINE_MS = 5_000;
const SIGN_IN = 'mutation ($input: SignInInput!) { signIn(input: $input) { session { token } } }';
const USAGE = 'query ($tenantId: ID!) { usage(first: 1, tenantId: $tenantId) { edges { node { id status } } } }';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: smoke.js <runtime.json>');
interface Runtime {
  readonly graphqlUrl: string;
  readonly tenantId: string;
  readonly operator: { readonly email: string; readonly password: string };
}
const runtime = JSON.parse(readFileSync(path, 'utf8')) as Runtime;

async function graphql<Data>(query: string, variables: object, token?: string): Promise<Data> {
  const response = await fetch(runtime.graphqlUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const text = await response.text();
  const { data } = JSON.parse(text) as { data?: Data | null };
  if (data == null) throw new Error(text.slice(0, 500));
  return data;
}

const { signIn } = await graphql<{ signIn: { session: { token: string } } }>(SIGN_IN, { input: runtime.operator });
const started = performance.now();
while (performance.now() - started < DEADLINE_MS) {
  const { tenantId } = runtime;
  const { usage } = await graphql<{ usage: { edges: unknown[] } }>(USAGE, { tenantId }, signIn.session.token);
  if (usage.edges.length > 0) {
    console.log(`usage visible after ${Math.round(performance.now() - started)} ms`);
    process.exit(0);
  }
  await sleep(100);
}
console.error(`no usage after ${DEADLINE_MS} ms`);
process.exit(1);
