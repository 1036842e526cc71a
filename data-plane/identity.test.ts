import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestIdentity } from '../test/kit/config-documents.js';
import { readIdentity } from './identity.js';

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
