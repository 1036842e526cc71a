import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanErrorData, cleanErrorText } from './clean-error.js';

const SECRET = 'sk-proj-0123456789abcdef';

describe('an error of the provider', () => {
  it.each([
    [`Incorrect API key provided: ${SECRET}.`, 'Incorrect API key provided: ***.'],
    ['Incorrect API key provided: sk-proj********cdef. See https://x', 'Incorrect API key provided: *** See https://x'],
    ['Rate limit in organization org-AbCdEf123456 on tokens', 'Rate limit in organization *** on tokens'],
    ['no model gpt-9', 'no model gpt-9'],
  ])('loses what names our account: %s', (text, cleaned) => {
    expect(cleanErrorText(text, SECRET)).toBe(cleaned);
  });

  it('stays as it is where there is no credential', () => {
    expect(cleanErrorText('overloaded', '')).toBe('overloaded');
  });

  it('loses it from its JSON wherever it stands and however it is spelt', () => {
    const escaped = Array.from(SECRET, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
    const data = `{"error":{"message":"${escaped}","details":[{"k":["${SECRET}"]}],"${SECRET}":1,"n":9007199254740993}}`;
    expect(cleanErrorData(data, SECRET)).toBe(
      '{"error":{"message":"***","details":[{"k":["***"]}],"***":1,"n":9007199254740993}}',
    );
  });

  it('is the very same text where nothing has to go', () => {
    const data = '{ "error" : {"message":"Overloaded", "n": 1.50} }';
    expect(cleanErrorData(data, SECRET)).toBe(data);
  });

  it('that is no JSON, or too deep to be walked, loses it too', () => {
    expect(cleanErrorData(`<html>${SECRET}`, SECRET)).toBe('<html>***');
    const deep = `${'['.repeat(50_000)}"${SECRET}"${']'.repeat(50_000)}`;
    expect(cleanErrorData(deep, SECRET)).not.toContain(SECRET);
  });

  it('never holds the credential afterwards', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.constant(SECRET), fc.constant(SECRET.slice(0, 9)))), (pieces) => {
        expect(cleanErrorText(pieces.join(''), SECRET)).not.toContain(SECRET);
      }),
    );
  });
});
