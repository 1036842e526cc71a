import { parseConfigLine } from '@pingtoken/shared/config-snapshot';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readPlainObject } from './read-line.js';

describe('readPlainObject', () => {
  const odd = fc.oneof(
    fc.constant(undefined),
    fc.string(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.constant({}),
  );
  const mostly = <Value>(usual: fc.Arbitrary<Value>) =>
    fc.oneof({ weight: 20, arbitrary: usual }, { weight: 1, arbitrary: odd });
  const base64url = fc.string({ unit: fc.constantFrom('A', 'z', '-', '_', '9'), minLength: 42, maxLength: 44 });
  const hash = fc.oneof(fc.constant('A'.repeat(43)), base64url);
  const line = fc.record(
    {
      kind: mostly(fc.constantFrom('api-key', 'member', 'tenant')),
      id: mostly(fc.uuid()),
      seq: mostly(fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constant(0), fc.constant(2 ** 53))),
      tenantId: mostly(fc.uuid()),
      memberId: mostly(fc.uuid()),
      hash: mostly(hash),
      sealingKey: mostly(hash),
      status: mostly(fc.constantFrom('active', 'revoked', 'frozen')),
      expiresAt: mostly(fc.oneof(fc.constant(null), fc.integer(), fc.double())),
      limits: mostly(fc.constant(null)),
      tags: fc.option(fc.constant(['team-a']), { nil: undefined, freq: 20 }),
      deleted: fc.option(fc.boolean(), { nil: undefined, freq: 20 }),
    },
    {
      requiredKeys: [
        'kind',
        'id',
        'seq',
        'tenantId',
        'memberId',
        'hash',
        'sealingKey',
        'status',
        'expiresAt',
        'limits',
      ],
    },
  );

  it('takes nothing that the contract would not take, and takes it for the same', () => {
    let taken = 0;
    fc.assert(
      fc.property(line, (value) => {
        const plain = readPlainObject(value);
        if (plain === undefined) return;
        taken += 1;
        const parsed = parseConfigLine(value);
        expect(parsed.type).toBe('object');
        expect(plain).toMatchObject(parsed.type === 'object' ? parsed.object : {});
      }),
      { numRuns: 20_000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  it('takes the usual form, so that the short way is used at all', () => {
    const ids = { id: crypto.randomUUID(), tenantId: crypto.randomUUID(), memberId: crypto.randomUUID() };
    const hash43 = Buffer.alloc(32, 1).toString('base64url');
    expect(
      readPlainObject({
        kind: 'api-key',
        seq: 1,
        ...ids,
        hash: hash43,
        status: 'active',
        expiresAt: null,
        limits: null,
      }),
    ).toBeDefined();
    expect(readPlainObject({ kind: 'member', seq: 1, ...ids, sealingKey: hash43, limits: null })).toBeDefined();
  });
});
