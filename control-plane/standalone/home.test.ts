import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSigningPair, readVerifyKey } from '@pingtoken/shared/crypto';
import { inheritedEnvironment } from './environment.js';
import { openHome } from './home.js';
import { databasePasswords, keepDataPlaneIdentity, keepSecrets, verifyKeyOf } from './kept-secrets.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pingtoken-home-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

describe('the state folder', () => {
  it('is closed to everybody else, even when it was open before', async () => {
    await chmod(folder, 0o755);
    await openHome(folder);
    expect(await modeOf(folder)).toBe('700');
    await openHome(join(folder, 'new'));
    expect(await modeOf(join(folder, 'new'))).toBe('700');
  });

  it('is never a folder that serves others too', async () => {
    for (const shared of ['/', tmpdir(), homedir(), '.']) await expect(openHome(shared)).rejects.toThrow('of its own');
  });
});

describe('what is kept in it', () => {
  it('is made once, mode 0600, and the same ever after', async () => {
    const home = await openHome(folder);
    const first = await keepSecrets(home);
    expect(await keepSecrets(home)).toEqual(first);
    expect(await modeOf(home.path('secrets.json'))).toBe('600');
    expect(await readdir(folder)).toEqual(['secrets.json']);
    expect(databasePasswords(first, ['api', 'worker'])).toEqual(databasePasswords(first, ['api', 'worker']));
    expect(databasePasswords(first, ['api']).api).not.toBe(databasePasswords(first, ['worker']).worker);
  });

  it('is not made anew when it is damaged: lost secrets are lost data', async () => {
    const home = await openHome(folder);
    await keepSecrets(home);
    await writeFile(home.path('secrets.json'), '{"controlPlane":{}}');
    await expect(keepSecrets(home)).rejects.toThrow('is damaged');
    expect(await readFile(home.path('secrets.json'), 'utf8')).toBe('{"controlPlane":{}}');
  });

  it("is a data plane's identity, private in its own folder", async () => {
    const path = join(folder, 'data-plane-1');
    const enrolment = await keepDataPlaneIdentity(path);
    expect(await keepDataPlaneIdentity(path)).toEqual(enrolment);
    expect(await modeOf(join(path, 'identity.json'))).toBe('600');
    expect(readVerifyKey(enrolment.verifyKey).asymmetricKeyType).toBe('ed25519');
    expect(JSON.stringify(enrolment)).not.toContain('private');
  });

  it('includes the verifying half of a signing key', () => {
    const pair = createSigningPair();
    expect(verifyKeyOf(pair.privateKey)).toBe(pair.publicKey);
  });
});

describe('a child', () => {
  it("sees nothing of the launcher's environment but what every program needs", () => {
    const source = { PATH: '/bin', HOME: '/h', NODE_OPTIONS: '--x', DATABASE_URL: 'secret', OPENAI_API_KEY: 'secret' };
    expect(inheritedEnvironment(source)).toEqual({ PATH: '/bin', HOME: '/h', NODE_OPTIONS: '--x' });
  });
});
