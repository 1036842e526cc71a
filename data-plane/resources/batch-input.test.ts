import { describe, expect, it } from 'vitest';
import { spliceBytes } from '../dialects/json-scanner.js';
import { isRefusal } from '../http-error.js';
import { readBatchInput, type BatchInput, type BatchInputOptions } from './batch-input.js';

const options: BatchInputOptions = {
  setting: { endUsers: 'pseudonym', pseudonymKey: 'k'.repeat(43) },
  limitsOf: () => ({ contextWindow: 100_000, maxOutputTokens: 5_000 }),
};

function line(change: Record<string, unknown> = {}, body: Record<string, unknown> = {}): string {
  const whole = { model: 'alias', messages: [{ role: 'user', content: 'x' }], ...body };
  return JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body: whole, ...change });
}

async function read(text: string): Promise<BatchInput> {
  const input = await readBatchInput(Buffer.from(text), options);
  if (isRefusal(input)) throw new Error(input.message);
  return input;
}

async function fault(text: string | Buffer): Promise<string | undefined> {
  const input = await readBatchInput(Buffer.from(text), options);
  return isRefusal(input) ? input.message : undefined;
}

describe('the input of a batch', () => {
  it('names one model, which is replaced in every line while every other byte stays', async () => {
    const spelt =
      '{ "custom_id":"b",\t"url" : "\\/v1/chat/completions","method":"POST","body" :{"n":12345678901234567890 , "model" :  "\\u0061lias"} }';
    const text = `${line()}\r\n\n${spelt}\n  \n${line({ custom_id: 'c' })}`;
    const input = await read(text);
    expect(input).toMatchObject({ model: 'alias', operation: 'chat-completions', reach: { lines: 3 } });
    const edited = spliceBytes(Buffer.from(text), input.edits('vendor-model')).toString();
    const expected = text.replaceAll('"model":"alias"', '"model":"vendor-model"');
    expect(edited).toBe(expected.replace('"\\u0061lias"', '"vendor-model"'));
    expect(input.edits('alias')).toEqual([]);
  });

  it('hides its end users as a direct call does', async () => {
    const text = `${line({}, { user: 'Lovelace' })}\n${line({ custom_id: 'b' }, { metadata: { who: 'Lovelace' } })}`;
    const edited = spliceBytes(Buffer.from(text), (await read(text)).edits('x')).toString();
    expect(edited).not.toContain('Lovelace');
    const pseudonyms = edited.match(/u_[\w-]{32}/g) ?? [];
    expect(pseudonyms).toHaveLength(2);
    expect(pseudonyms[0]).toBe(pseudonyms[1]);
    for (const each of edited.split('\n')) expect(() => JSON.parse(each) as unknown).not.toThrow();
  });

  it.each([
    ['nothing', '\n \n', /no lines/],
    ['what is no JSON', `${line()}\nx`, /^Line 2: /],
    ['a list', '[]', /^Line 1: /],
    ['another model', `${line()}\n${line({ custom_id: 'b' }, { model: 'dear' })}`, /^Line 2: .*same model/],
    ['two models in one line', line().replace('"model":"alias"', '"model":"alias","model":"dear"'), /^Line 1/],
    ['a model in another case', line({}, { MODEL: 'dear' }), /^Line 1.*"model"/],
    ['two bodies in one line', line().replace('}]}}', '}]},"body":{"model":"dear"}}'), /^Line 1/],
    ['a body in another case', line({ Body: { model: 'dear' } }), /^Line 1.*"body"/],
    ['no model', line({}, { model: undefined }), /^Line 1 \("model"\)/],
    ['a model that is none', line({}, { model: 7 }), /^Line 1 \("model"\)/],
    ['no body', line({ body: undefined }), /^Line 1 \("body"\)/],
    ['another method', line({ method: 'GET' }), /^Line 1 \("method"\)/],
    ['a path that is not sold', line({ url: '/v1/files' }), /^Line 1 \("url"\)/],
    ['another host', line({ url: 'https://elsewhere.example/v1/chat/completions' }), /^Line 1 \("url"\)/],
    ['two paths', `${line()}\n${line({ custom_id: 'b', url: '/v1/embeddings' })}`, /^Line 2: .*same url/],
    ['a stream', line({}, { stream: true }), /^Line 1 \("stream"\)/],
    ['the background', line({}, { background: true }), /^Line 1 \("background"\)/],
    ['a name twice', `${line()}\n${line()}`, /^Line 2: .*custom_id/],
    ['no name', line({ custom_id: 7 }), /^Line 1 \("custom_id"\)/],
    ['bytes that are no text', Buffer.from([0x7b, 0xff, 0x7d]), /UTF-8/],
  ])('is refused for %s', async (_name, text, message) => {
    expect(await fault(text)).toMatch(message);
  });

  it('reaches as far as each of its lines could by itself', async () => {
    const capped = line({ custom_id: 'b' }, { max_tokens: 70, n: 2 });
    const picture = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x.example/a.png' } }] }];
    const text = `${line()}\n${capped}\n${line({ custom_id: 'c' }, { messages: picture, max_tokens: 1 })}`;
    const bodyBytes = (whole: string): number => JSON.stringify((JSON.parse(whole) as { body: object }).body).length;
    expect((await read(text)).reach).toEqual({
      lines: 3,
      longestInputTokens: 100_000,
      inputTokens: bodyBytes(line()) + bodyBytes(capped) + 100_000,
      outputTokens: 5_000 + 140 + 1,
      images: 0,
      webSearches: 0,
      unboundedLines: 0,
    });
  });

  it('says where a line names what the provider keeps', async () => {
    const text = `${line()}\n${line({ custom_id: 'b', url: '/v1/chat/completions' }, { messages: [{ content: [{ file: { file_id: 'file-1' } }] }] })}`;
    expect((await read(text)).stored).toEqual({ line: 2, field: 'file_id' });
    expect((await read(line())).stored).toBeUndefined();
  });

  it('has at most 50,000 lines', { timeout: 120_000 }, async () => {
    const lines = Array.from({ length: 50_001 }, (_, index) => line({ custom_id: String(index) }));
    expect(await fault(lines.join('\n'))).toMatch(/^Line 50001: .*50000/);
  });
});
