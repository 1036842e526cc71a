import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { editGeminiAct, readGeminiAct, type GeminiAct } from './gemini-act.js';

const MODEL = 'team/m"ö';
const named = fc.constantFrom<{ model?: string | null }>(
  {},
  { model: MODEL },
  { model: `models/${MODEL}` },
  { model: null },
);
const request = fc
  .tuple(
    fc.dictionary(
      fc.string(),
      fc.json().map((text): unknown => JSON.parse(text)),
    ),
    named,
  )
  .map(([others, own]): Record<string, unknown> => ({ ...withoutModel(others), ...own }));

function withoutModel(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !['model', 'labels'].includes(key.toLowerCase())));
}

const DROP = { endUsers: 'drop', pseudonymKey: null } as const;

function renamed(value: Record<string, unknown>): Record<string, unknown> {
  return typeof value['model'] === 'string' ? { ...value, model: 'models/upstream' } : value;
}

function edit(body: unknown, act: GeminiAct, space = 0): unknown {
  const read = readGeminiAct(Buffer.from(JSON.stringify(body, null, space)), { model: MODEL, act });
  if ('refused' in read) throw new Error(`${read.refused} ${read.param ?? ''}`);
  return JSON.parse(editGeminiAct(read, 'upstream', DROP).toString());
}

describe('a request that names its model a second time', () => {
  it('is sent with the provider’s name in each of those places, and unchanged in all others', () => {
    fc.assert(
      fc.property(fc.array(request), named, fc.constantFrom(0, 1), (requests, own, space) => {
        const batch = { ...own, requests, other: { model: 'its own' } };
        expect(edit(batch, 'batchEmbedContents', space)).toEqual({
          ...renamed(batch),
          requests: requests.map(renamed),
        });
      }),
      { numRuns: 100 },
    );
    fc.assert(
      fc.property(request, fc.boolean(), (inner, isSnake) => {
        const name = isSnake ? 'generate_content_request' : 'generateContentRequest';
        expect(edit({ [name]: inner }, 'countTokens')).toEqual({ [name]: renamed(inner) });
      }),
      { numRuns: 100 },
    );
  });

  it('keeps every other byte, and a number that a double would alter', () => {
    const text = ` {"requests" : [ {"model":"models\\/a" , "n":12345678901234567890}\n] }`;
    const read = readGeminiAct(Buffer.from(text), { model: 'a', act: 'batchEmbedContents' });
    if ('refused' in read) throw new Error(read.refused);
    expect(editGeminiAct(read, 'b', DROP).toString()).toBe(text.replace('"models\\/a"', '"models/b"'));
  });

  it('says nothing of the end user, wherever the body does', () => {
    const inner = { labels: { who: 'jane' }, model: 'models/a', contents: [{ parts: [{ text: 'x' }] }] };
    const bytes = Buffer.from(JSON.stringify({ generateContentRequest: inner, labels: { who: 'joe' } }));
    const read = readGeminiAct(bytes, { model: 'a', act: 'countTokens' });
    if ('refused' in read) throw new Error(read.refused);
    expect(JSON.parse(editGeminiAct(read, 'b', DROP).toString())).toEqual({
      generateContentRequest: { model: 'models/b', contents: inner.contents },
    });
    const named = editGeminiAct(read, 'b', { endUsers: 'pseudonym', pseudonymKey: 'k'.repeat(43) }).toString();
    expect(named).toMatch(/"labels":\{"who":"u_[0-9a-f]{32}"\}.*"labels":\{"who":"u_[0-9a-f]{32}"\}/);
    expect(named).toContain('"model":"models/b"');
  });

  it.each<[string, GeminiAct, string]>([
    ['{"requests":[{"model":"a"},{"model":"b"}]}', 'batchEmbedContents', 'requests[1].model'],
    ['{"requests":{"model":"b"}}', 'batchEmbedContents', 'requests.model'],
    ['{"requests":[{"model":"a","mod\\u0065l":"b"}]}', 'batchEmbedContents', 'requests[0]'],
    ['{"requests":[{"model":"b","mod\\u0065l":"a"}]}', 'batchEmbedContents', 'requests[0]'],
    ['{"model":"models/models/a"}', 'embedContent', 'model'],
    ['{"model":7}', 'embedContent', 'model'],
    ['{"generateContentRequest":{"model":"b"}}', 'countTokens', 'generateContentRequest.model'],
    ['{"generateContentRequest":{},"generate_content_request":{}}', 'countTokens', 'generateContentRequest'],
    ['{"generateContentRequest":"x"}', 'countTokens', 'generateContentRequest'],
  ])('is refused where it could mean another: %s', (text, act, field) => {
    const read = readGeminiAct(Buffer.from(text), { model: 'a', act });
    expect(read).toMatchObject({ param: field });
  });
});
