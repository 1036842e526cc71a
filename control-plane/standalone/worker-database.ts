import { DATABASE_LOGINS, databaseUrls } from '../database/provision.js';
import { readLauncherEnvironment } from './environment.js';
import { openHome, readJsonFile } from './home.js';
import { databasePasswords, keepSecrets } from './kept-secrets.js';
import { runtimeSchema } from './runtime-file.js';

/** @returns the URL in `WORKER_DATABASE_URL`, else that of the distribution which runs here; null where none does */
export async function findWorkerDatabase(): Promise<string | null> {
  const given = process.env['WORKER_DATABASE_URL'];
  if (given !== undefined && given !== '') return given;
  const home = await openHome(readLauncherEnvironment(process.env).PINGTOKEN_HOME);
  const runtime = await readJsonFile(home.path('runtime.json'), runtimeSchema);
  if (runtime === null) return null;
  const passwords = databasePasswords(await keepSecrets(home), DATABASE_LOGINS);
  return databaseUrls({ adminUrl: runtime.databaseUrl, passwords }).worker;
}
