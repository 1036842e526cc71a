import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';
import { Refusal } from '../database/refusal.js';
import { expectDone } from '../installation.js';

let controlPlane: TestControlPlane;
beforeAll(async () => {
  controlPlane = await startControlPlane({ PRIVATE_UPSTREAMS: [] });
});
afterAll(() => controlPlane.close());

let count = 0;
const create = (baseUrl: string) => {
  count += 1;
  const links = { termsUrl: 'https://p.example/terms', privacyUrl: 'https://p.example/privacy' };
  const provider = { slug: `p${count}`, name: 'P', dialect: 'openai', baseUrl, ...links } as const;
  return controlPlane.services.providers.create(controlPlane.operator, provider);
};
const faultOf = (result: unknown): unknown => (result instanceof Refusal ? result.errors[0] : 'saved');

describe('a provider whose address may not be called', () => {
  it.each([
    'http://127.0.0.1:8080/v1',
    'http://0x7f.1/v1',
    'http://localhost/v1',
    'http://[::ffff:10.0.0.1]/v1',
    'http://169.254.169.254/v1',
    'https://user:secret@p.example/v1',
  ])('is not saved, nor changed to it: %s', async (baseUrl) => {
    const fault = { code: 'invalid_request', path: ['baseUrl'], message: expect.stringMatching(/\.$/) as string };
    expect(faultOf(await create(baseUrl))).toEqual(fault);
    const { id } = expectDone(await create('https://p.example/v1'));
    const { providers } = controlPlane.services;
    expect(faultOf(await providers.update(controlPlane.operator, { id, baseUrl }))).toEqual(fault);
    const saved = (await providers.list(controlPlane.operator)).find((provider) => provider.id === id);
    expect(saved?.baseUrl).toBe('https://p.example/v1');
  });

  it('is refused with one fault of the field also where the text is no address at all', async () => {
    expect(faultOf(await create('nonsense'))).toMatchObject({ code: 'invalid_request', path: ['baseUrl'] });
  });
});
