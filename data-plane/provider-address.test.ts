import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { addressOf, mayReceive } from './provider-address.js';

const at = (baseUrl: string): ConfigObjectOf<'provider'> => ({
  ...{
    kind: 'provider',
    id: randomUUID(),
    seq: 1,
    slug: 'p',
    dialect: 'openai',
    auth: 'bearer',
    region: null,
    status: 'active',
  },
  baseUrl,
});

describe('a credential', () => {
  it.each([
    ['https://api.provider.example/v1', 'https://api.provider.example'],
    ['https://API.Provider.example:443/v2/', 'https://api.provider.example'],
    ['http://127.0.0.1:8090/v1', 'http://127.0.0.1:8090'],
    ['https://[2606:4700::1111]/v1', 'https://[2606:4700::1111]'],
  ])('goes to the host that it is bound to: %s', (baseUrl, origin) => {
    expect(addressOf(at(baseUrl)).origin).toBe(origin);
    expect(mayReceive(at(baseUrl), origin)).toBe(true);
  });

  it.each([
    'https://api.provider.example.evil.example/v1',
    'https://evil.example/v1?https://api.provider.example',
    'http://api.provider.example/v1',
    'https://api.provider.example:8443/v1',
    'https://api.provider.example./v1',
    'https://api.provider.example@evil.example/v1',
    'https://xapi.provider.example/v1',
  ])('goes nowhere else: %s', (baseUrl) => {
    expect(mayReceive(at(baseUrl), 'https://api.provider.example')).toBe(false);
    expect(mayReceive(at(baseUrl), '')).toBe(false);
  });
});
