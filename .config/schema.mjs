// Writes schema.graphql from the compiled schema; with --check it compares instead and fails when the file is stale.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const committed = join(root, 'schema.graphql');
const emitted = execFileSync(process.execPath, ['control-plane/dist/graphql/emit-schema.js'], {
  cwd: root,
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
  stdio: ['ignore', 'pipe', 'inherit'],
});
// An emitter that prints nothing must not pass as "nothing changed".
if (!emitted.includes('type Query')) throw new Error('emit-schema.js printed no schema');

if (!process.argv.includes('--check')) {
  writeFileSync(committed, emitted);
} else if (!existsSync(committed) || readFileSync(committed, 'utf8') !== emitted) {
  showDifference();
  console.error('schema.graphql is stale: run `npm run schema` and commit it.');
  process.exitCode = 1;
}

function showDifference() {
  const folder = mkdtempSync(join(tmpdir(), 'pingtoken-schema-'));
  try {
    writeFileSync(join(folder, 'emitted.graphql'), emitted);
    execFileSync('diff', ['-u', '-N', committed, join(folder, 'emitted.graphql')], { stdio: 'inherit' });
  } catch {
    // diff exits 1 when the files differ, which is why it was called.
  } finally {
    rmSync(folder, { recursive: true });
  }
}
