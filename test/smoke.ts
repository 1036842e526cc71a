// `node test/dist/test/smoke.js <runtime.json>`: the call that .ci/run has just made shows up as usage within 5 s.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const DEADLINE_MS = 5_000;
const USAGE = 'query SmokeUsage { usage(first: 1) { nodes { id status } } }';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: smoke.js <runtime.json>');
const runtime = JSON.parse(readFileSync(path, 'utf8')) as { graphqlUrl: string; apiKey: string };

const started = performance.now();
let answer = '';
while (performance.now() - started < DEADLINE_MS) {
  const response = await fetch(runtime.graphqlUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${runtime.apiKey}` },
    body: JSON.stringify({ query: USAGE }),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  answer = await response.text();
  const { data } = JSON.parse(answer) as { data?: { usage?: { nodes: unknown[] } } | null };
  if (data?.usage !== undefined && data.usage.nodes.length > 0) {
    console.log(`usage visible after ${Math.round(performance.now() - started)} ms`);
    process.exit(0);
  }
  await sleep(100);
}
console.error(`no usage after ${DEADLINE_MS} ms, the last answer was: ${answer.slice(0, 500)}`);
process.exit(1);
