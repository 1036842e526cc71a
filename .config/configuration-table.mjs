// Writes README.md's configuration tables from the environment schemas; `--check` fails when they are stale.
import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { z } from 'zod';
import { controlPlaneEnvironment, migrateEnvironment } from '../control-plane/dist/environment.js';
import { launcherEnvironmentSchema } from '../control-plane/dist/standalone/environment.js';
import { simulatorEnvironment } from '../control-plane/dist/standalone/simulator/environment.js';
import { workerEnvironment } from '../control-plane/dist/workers/environment.js';
import { dataPlaneEnvironment } from '../data-plane/dist/environment.js';

const PROCESSES = [
  ['`npm start`, the one-machine distribution', launcherEnvironmentSchema],
  ['Control plane (`control-plane/dist/main.js`)', controlPlaneEnvironment],
  ['Worker (`control-plane/dist/worker.js`)', workerEnvironment],
  ['Data plane (`data-plane/dist/bundle/main.js`)', dataPlaneEnvironment],
  ['Migration (`control-plane/dist/migrate.js`)', migrateEnvironment],
  ['Provider simulator (`control-plane/dist/standalone/simulator/main.js`)', simulatorEnvironment],
];
const [BEGIN, END] = ['<!-- configuration: begin -->', '<!-- configuration: end -->'];

function rows(schema) {
  const { properties, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return Object.entries(properties).map(([name, { default: fallback, description = '' }]) => {
    const standard = fallback === undefined ? (required.includes(name) ? '**required**' : '') : `\`${fallback}\``;
    return `| \`${name}\` | ${fallback === '' ? '' : standard} | ${description.replaceAll('|', '\\|')} |`;
  });
}

const tables = PROCESSES.map(
  ([title, schema]) =>
    `### ${title}\n\n| variable | default | what it does |\n|---|---|---|\n${rows(schema).join('\n')}\n`,
).join('\n');

const path = new URL('../README.md', import.meta.url).pathname;
const before = readFileSync(path, 'utf8');
const [head, rest] = before.split(BEGIN);
const [, tail] = rest.split(END);
const text = `${head}${BEGIN}\n\n${tables}\n${END}${tail}`;
const after = await format(text, { ...(await resolveConfig(path)), filepath: path });

if (!process.argv.includes('--check')) writeFileSync(path, after);
else if (after !== before) {
  console.error('The configuration tables in README.md are stale: run `npm run docs`.');
  process.exit(1);
}
