import fc from 'fast-check';
import { expect, it } from 'vitest';
import { findObjects } from './json-objects.js';
import { spliceBytes } from './json-scanner.js';
import { memberRange } from './member-range.js';

it('a member that is cut out leaves the object without it, and every other one as it was', () => {
  const key = fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom('id', 'a"', '\\', '\\"'));
  fc.assert(
    fc.property(
      fc.dictionary(key, fc.jsonValue(), { minKeys: 1 }),
      fc.nat(),
      fc.nat({ max: 2 }),
      (object, place, space) => {
        const bytes = Buffer.from(JSON.stringify(object, undefined, space));
        const members = findObjects(bytes, () => true)[0]?.members ?? [];
        const member = members[place % members.length];
        if (member === undefined) throw new Error('no member');
        const cut = spliceBytes(bytes, [{ ...memberRange(bytes, member.range), bytes: Buffer.alloc(0) }]);
        const expected = Object.fromEntries(Object.entries(object).filter(([name]) => name !== member.key));
        expect(JSON.parse(cut.toString())).toEqual(JSON.parse(JSON.stringify(expected)));
      },
    ),
    { numRuns: 300 },
  );
});
