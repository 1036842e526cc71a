import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJson } from '@pingtoken/shared/wire';
import { END_USER_FIELDS, endUserSplices, pseudonymOf, type EndUserDialect, type EndUserSetting } from './end-user.js';
import { scanObject, spliceBytes, type Splice } from './json-scanner.js';

const pseudonymKey = Buffer.alloc(32, 7).toString('base64url');
const PSEUDONYM: EndUserSetting = { endUsers: 'pseudonym', pseudonymKey };
const DROP: EndUserSetting = { endUsers: 'drop', pseudonymKey };
const NO_KEY: EndUserSetting = { endUsers: 'pseudonym', pseudonymKey: null };
const decodeKey = (raw: Buffer): string => String(parseJson(raw.toString()));

function hide(
  text: string,
  setting: EndUserSetting,
  dialect: EndUserDialect = 'openai',
  others: Splice[] = [],
): string {
  const bytes = Buffer.from(text);
  const scan = scanObject(bytes, END_USER_FIELDS[dialect], decodeKey);
  if (scan === undefined) throw new Error('no object');
  const own = endUserSplices({ dialect, bytes, values: scan.values, setting });
  const splices = [...others, ...own].sort((one, other) => one.start - other.start);
  return spliceBytes(bytes, splices).toString();
}

const ada = pseudonymOf(pseudonymKey, 'ada@example.com');

describe('a pseudonym', () => {
  it('is the same for the same person at the same tenant, and differs for any other', () => {
    expect(ada).toMatch(/^u_[A-Za-z0-9_-]{32}$/);
    expect(pseudonymOf(pseudonymKey, 'ada@example.com')).toBe(ada);
    expect(pseudonymOf(pseudonymKey, 'ada@example.org')).not.toBe(ada);
    expect(pseudonymOf(Buffer.alloc(32, 8).toString('base64url'), 'ada@example.com')).not.toBe(ada);
  });

  it('does not depend on how the text is spelt in JSON', () => {
    expect(hide('{"user":"\\u0061da\\u0040example.com"}', PSEUDONYM)).toBe(`{"user":"${ada}"}`);
  });
});

describe('of a request in OpenAI’s dialect', () => {
  it('every field that names the end user has a pseudonym, and the rest is as it was', () => {
    const text =
      '{ "model":"m", "user" : "ada@example.com","seed":9007199254740993,"safety_identifier":"ada@example.com",\n' +
      '"prompt_cache_key":"ada@example.com","user_id":"ada@example.com","messages":[{"user":"kept"}] }';
    expect(hide(text, PSEUDONYM)).toBe(text.replaceAll('ada@example.com', ada));
  });

  it('the metadata keep their names and lose their values', () => {
    const hidden = hide(
      '{"metadata":{"customer":"ada@example.com","__proto__":"ada@example.com","n":[1,{}]}}',
      PSEUDONYM,
    );
    expect(hidden).toBe(
      `{"metadata":{"customer":"${ada}","__proto__":"${ada}","n":"${pseudonymOf(pseudonymKey, '[1,{}]')}"}}`,
    );
    expect(hide('{"metadata":"ada@example.com"}', PSEUDONYM)).toBe(`{"metadata":"${ada}"}`);
    expect(hide('{"metadata":["ada@example.com"],"user":12345678901234567890}', PSEUDONYM)).toBe(
      `{"metadata":"${pseudonymOf(pseudonymKey, '["ada@example.com"]')}","user":"${pseudonymOf(pseudonymKey, '12345678901234567890')}"}`,
    );
  });

  it('what is dropped is gone, but for the pseudonym that the provider’s cache goes by', () => {
    const text =
      '{"user":"ada","model":"m","metadata":{"a":"ada"},"prompt_cache_key":"ada@example.com","safety_identifier":"ada"}';
    expect(hide(text, DROP)).toBe(`{"model":"m","prompt_cache_key":"${ada}"}`);
  });

  it('everything is dropped where there is no key for pseudonyms', () => {
    expect(hide('{"model":"m","user":"ada","prompt_cache_key":"ada"}', NO_KEY)).toBe('{"model":"m"}');
  });

  it('what says nothing stays byte for byte', () => {
    for (const setting of [PSEUDONYM, DROP]) {
      for (const text of ['{"model":"m"}', '{ }', '{"user": null ,"metadata":null}'])
        expect(hide(text, setting)).toBe(text);
    }
    expect(hide('{"metadata": {} }', PSEUDONYM)).toBe('{"metadata": {} }');
  });

  it.each([
    ['{"user":"a"}', '{}'],
    ['{ "user" : "a" }', '{  }'],
    ['{"user":"a","metadata":{}}', '{}'],
    ['{"model":"m","user":"a"}', '{"model":"m"}'],
    ['{"model":"m" , "user":"a" , "metadata":{} }', '{"model":"m"  }'],
    ['{"user":"a","model":"m","metadata":{}}', '{"model":"m"}'],
    ['{"\\u0075ser":"a","model":"m"}', '{"model":"m"}'],
    ['{"model":"x,\\"user\\":","us\\u0065r":"a"}', '{"model":"x,\\"user\\":"}'],
    ['{"user":"a","a":1,"metadata":{},"b":2,"safety_identifier":"a"}', '{"a":1,"b":2}'],
  ])('a member goes with its comma: %s', (text, hidden) => {
    expect(hide(text, DROP)).toBe(hidden);
  });

  it('an insertion at the beginning stays before what is dropped there', () => {
    const inserted = { start: 1, end: 1, bytes: Buffer.from('"stream_options":{},') };
    expect(hide('{"user":"a","model":"m"}', DROP, 'openai', [inserted])).toBe('{"stream_options":{},"model":"m"}');
  });
});

describe('of a request in Anthropic’s dialect', () => {
  it('the user has a pseudonym and nothing else of the metadata is left', () => {
    expect(hide('{"metadata":{"user_id":"ada@example.com","trace":"t"},"max_tokens":1}', PSEUDONYM, 'anthropic')).toBe(
      `{"metadata":{"user_id":"${ada}"},"max_tokens":1}`,
    );
    expect(hide('{"max_tokens":1,"metadata":{"trace":"t"}}', PSEUDONYM, 'anthropic')).toBe('{"max_tokens":1}');
    expect(hide('{"max_tokens":1,"metadata":"ada"}', PSEUDONYM, 'anthropic')).toBe('{"max_tokens":1}');
    expect(hide('{"metadata":{"user_id":"ada"},"max_tokens":1}', DROP, 'anthropic')).toBe('{"max_tokens":1}');
    expect(hide('{"metadata":null,"user":"stays"}', DROP, 'anthropic')).toBe('{"metadata":null,"user":"stays"}');
  });
});

describe('of a request in Gemini’s dialect', () => {
  it('labels have pseudonyms that labels may have', () => {
    const hidden = JSON.parse(hide('{"labels":{"team":"ada","env":"prod"},"contents":[]}', PSEUDONYM, 'gemini')) as {
      labels: Record<string, string>;
    };
    expect(Object.keys(hidden.labels)).toEqual(['team', 'env']);
    for (const label of Object.values(hidden.labels)) expect(label).toMatch(/^[a-z][a-z0-9_-]{0,62}$/);
    expect(hide('{"labels":{"team":"ada"},"contents":[]}', DROP, 'gemini')).toBe('{"contents":[]}');
  });
});

describe('any request', () => {
  const space = fc.constantFrom('', ' ', '\n\t', '  ');
  const name = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...END_USER_FIELDS.openai) },
    { weight: 2, arbitrary: fc.string({ maxLength: 8 }) },
    { weight: 1, arbitrary: fc.constantFrom('a"b', 'c\\', ',"user":', '{', '}') },
  );
  const member = fc.tuple(name, fc.oneof(fc.string(), fc.jsonValue({ maxDepth: 2 })), space, fc.boolean());
  const escaped = (text: string): string =>
    `"${Array.from(text, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;

  it('stays JSON with every other member as it was, byte for byte, and says nothing of the end user', () => {
    const members = fc.uniqueArray(member, { selector: ([key]) => key, maxLength: 7 });
    fc.assert(
      fc.property(members, space, fc.constantFrom(PSEUDONYM, DROP, NO_KEY), (given, edge, setting) => {
        const texts = given.map(([key, value, gap, isEscaped]) => {
          const spelt = isEscaped && END_USER_FIELDS.openai.has(key) ? escaped(key) : JSON.stringify(key);
          return { key, value, text: `${spelt}${gap}:${gap}${JSON.stringify(value)}` };
        });
        const text = `{${edge}${texts.map((each) => each.text).join(`${edge},${edge}`)}${edge}}`;
        const hidden = hide(text, setting);
        const result = JSON.parse(hidden) as Record<string, unknown>;
        const kept = texts.filter(({ key }) => !END_USER_FIELDS.openai.has(key));
        for (const { key, text: member, value } of kept) {
          expect(hidden).toContain(member);
          expect(Object.entries(result)).toContainEqual([key, JSON.parse(JSON.stringify(value))]);
        }
        for (const { key, value } of texts) {
          if (!END_USER_FIELDS.openai.has(key)) continue;
          const put = result[key];
          if (value === null) expect(put).toBeNull();
          else if (setting === PSEUDONYM || (setting === DROP && key === 'prompt_cache_key')) expectHidden(put);
          else expect(Object.hasOwn(result, key)).toBe(false);
        }
        expect(Object.keys(result).length).toBeLessThanOrEqual(given.length);
      }),
      { numRuns: 2000 },
    );
  });

  function expectHidden(put: unknown): void {
    const values = typeof put === 'object' && put !== null ? Object.values(put) : [put];
    for (const value of values) expect(value).toMatch(/^u_[A-Za-z0-9_-]{32}$/);
  }
});
