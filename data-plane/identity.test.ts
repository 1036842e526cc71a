import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestIdentity } from '../test/kit/config-documents.js';
import { makeIdentityIfMissing, readIdentity } from './identity.js';

describe('readIdentity', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'identity-'));
  });
  afterEach(() => rm(home, { recursive: true }));

  it('reads what enrolment wrote', async () => {
    const { id, file, sealing } = createTestIdentity();
    await writeFile(join(home, 'identity.json'), JSON.stringify(file));
    const identity = readIdentity(home);
    expect(identity.id).toBe(id);
    expect(identity.signingKey.asymmetricKeyType).toBe('ed25519');
    expect(Buffer.from(identity.sealing.privateKey).equals(sealing.privateKey)).toBe(true);
  });

  it('names the file and the fault, and never a value', async () => {
    expect(() => readIdentity(home)).toThrow(/identity\.json: ENOENT/);
    const { file } = createTestIdentity();
    for (const text of [
      `${JSON.stringify(file)}}`,
      JSON.stringify({ ...file, region: '' }),
      JSON.stringify({ ...file, signingKey: 'AAAA' }),
    ]) {
      await writeFile(join(home, 'identity.json'), text);
      let message = '';
      try {
        readIdentity(home);
      } catch (error) {
        message = String(error);
        expect((error as Error).cause).toBeUndefined();
      }
      expect(message).toContain('identity.json');
      expect(message).not.toContain((file['signingKey'] as string).slice(0, 20));
    }
  });
});

describe('makeIdentityIfMissing', () => {
  it('makes one identity for good, readable by its owner alone, and tells its public half only', async () => {
    const home = await mkdtemp(join(tmpdir(), 'identity-'));
    const enrolment = makeIdentityIfMissing(home, 'eu-central');
    expect(makeIdentityIfMissing(home, 'elsewhere')).toBeNull();
    const path = join(home, 'identity.json');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const identity = readIdentity(home);
    expect(identity).toMatchObject({ id: enrolment?.id, region: 'eu-central' });
    const text = await readFile(path, 'utf8');
    const { signingKey, sealing } = JSON.parse(text) as { signingKey: string; sealing: { privateKey: string } };
    for (const secret of [signingKey, sealing.privateKey]) expect(JSON.stringify(enrolment)).not.toContain(secret);
    await rm(home, { recursive: true });
  });
});
