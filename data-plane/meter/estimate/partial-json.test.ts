import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { completeJson } from './partial-json.js';

const JSON_OBJECTS = fc
  .dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 })
  .map((value) => JSON.stringify(value, null, Object.keys(value).length % 3));

describe('a JSON text that broke off', () => {
  it('can be read wherever that was', () => {
    fc.assert(
      fc.property(JSON_OBJECTS, fc.nat(), (text, cut) => {
        const beginning = text.slice(0, 1 + (cut % text.length));
        expect(() => JSON.parse(completeJson(beginning)) as unknown).not.toThrow();
      }),
      { numRuns: 5000 },
    );
  });

  it('is left as it is when it is whole', () => {
    fc.assert(
      fc.property(JSON_OBJECTS, (text) => {
        expect(completeJson(text)).toBe(text);
      }),
    );
  });

  it.each([
    ['{"a":{"b":["hel', { a: { b: ['hel'] } }],
    ['{"a":"line\\', { a: 'line' }],
    ['{"a":"quote\\"', { a: 'quote"' }],
    ['{"a":"back\\\\', { a: 'back\\' }],
    ['{"a":"x\\u00e', { a: 'x' }],
    ['{"a":1,"b":2', { a: 1 }],
    ['{"a":1,"b', { a: 1 }],
    ['{"a":1,"b":', { a: 1 }],
    ['[{"a":tru', [{}]],
    ['{"a":"x","b":"', { a: 'x', b: '' }],
  ])('keeps all that is whole, and the text as far as it came: %s', (text, value) => {
    expect(JSON.parse(completeJson(text))).toEqual(value);
  });
});
