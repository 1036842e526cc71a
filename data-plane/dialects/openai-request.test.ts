import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EndUserSetting } from './end-user.js';
import { editOpenAiRequest, readOpenAiRequest, type OpenAiRequest } from './openai-request.js';
import type { ReportingOperation } from './operations/read-usage.js';

const PSEUDONYM: EndUserSetting = { endUsers: 'pseudonym', pseudonymKey: Buffer.alloc(32, 7).toString('base64url') };

function read(text: string, operation: ReportingOperation = 'chat-completions'): OpenAiRequest {
  const request = readOpenAiRequest(Buffer.from(text), operation);
  if ('refused' in request) throw new Error(`refused: ${request.refused}`);
  return request;
}

function edit(text: string, upstreamModel = 'upstream', operation: ReportingOperation = 'chat-completions'): string {
  return editOpenAiRequest(read(text, operation), upstreamModel, PSEUDONYM).toString();
}

function refusalOf(text: string | Buffer, operation: ReportingOperation = 'chat-completions'): string {
  const request = readOpenAiRequest(Buffer.from(text), operation);
  return 'refused' in request ? request.refused : 'accepted';
}

/** JSON text with white space, escapes and key order as a writer of bad habits would have them. */
const spaceArbitrary = fc.constantFrom('', ' ', '\n', '\t\r\n ');
const keyArbitrary = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .filter((key) => !/^(model|stream|stream_options)$/i.test(key.normalize('NFKC')));

describe('the edits of a request', () => {
  it('change the named fields and leave every other byte as it was', () => {
    fc.assert(
      fc.property(
        fc.dictionary(keyArbitrary, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 6 }),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
        fc.constantFrom(
          undefined,
          null,
          {},
          { include_usage: false },
          { include_usage: null },
          { other: [1, { a: 2 }] },
        ),
        fc.nat({ max: 6 }),
        spaceArbitrary,
        (others, model, streamOptions, place, space) => {
          const members = Object.entries(others).map(([key, value]) => [JSON.stringify(key), JSON.stringify(value)]);
          const own = [
            ['"model"', JSON.stringify(model)],
            ['"stream"', 'true'],
          ];
          if (streamOptions !== undefined) own.push(['"stream_options"', JSON.stringify(streamOptions)]);
          members.splice(place, 0, ...own);
          const text = `${space}{${members.map(([key, value]) => `${space}${key}${space}:${space}${value}${space}`).join(',')}}${space}`;
          const edited = edit(text, 'up"stream');
          const { stream_options: options, ...rest } = JSON.parse(text) as Record<string, unknown>;
          expect(JSON.parse(edited)).toEqual({
            ...rest,
            model: 'up"stream',
            stream_options: { ...(options as object | null), include_usage: true },
          });
          // Taking the edits back gives the very bytes that came.
          const [modelBefore, modelAfter] = [`:${space}${JSON.stringify(model)}`, `:${space}"up\\"stream"`];
          expect(undoUsage(edited, streamOptions).replace(modelAfter, () => modelBefore)).toBe(text);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('keep 64-bit integers, repeated white space and unknown fields byte for byte', () => {
    const text = '{ "seed":9007199254740993,  "model" : "a","x":{"y":1e400,"z":"\\u00e9"} }';
    expect(edit(text)).toBe('{ "seed":9007199254740993,  "model" : "upstream","x":{"y":1e400,"z":"\\u00e9"} }');
  });

  it('leave a request alone that names the model as the provider does and asks for its usage', () => {
    const text = '{"model":"m","stream":true,"stream_options":{"include_usage":true}}';
    const request = read(text);
    expect(editOpenAiRequest(request, 'm', PSEUDONYM)).toBe(request.bytes);
  });

  it('do not ask for usage where nothing is streamed', () => {
    expect(edit('{"model":"m","stream":false}')).toBe('{"model":"upstream","stream":false}');
    expect(edit('{"model":"m","stream":null}')).toBe('{"model":"upstream","stream":null}');
  });

  it('find fields whose keys are spelt with escapes', () => {
    expect(edit('{"mod\\u0065l":"m","\\u0073tream":true}')).toBe(
      '{"stream_options":{"include_usage":true},"mod\\u0065l":"upstream","\\u0073tream":true}',
    );
  });

  it.each(['responses', 'images', 'speech', 'embeddings', 'rerank'] as const)(
    'do not ask for usage where the API has no option for it: %s',
    (operation) => {
      expect(edit('{"model":"m","stream":true}', 'upstream', operation)).toBe('{"model":"upstream","stream":true}');
      const own = '{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}';
      expect(edit(own, 'm', operation)).toBe(own);
      expect(read(own, operation).asksForUsage).toBe(true);
    },
  );

  it('hide the end user, whatever stands beside it', () => {
    const edited = edit(
      '{"user":"ada","stream":true,"model":"m","metadata":{"a":"ada"}, "messages":[{"user":"kept"}]}',
    );
    expect(edited).not.toContain('"ada"');
    expect(JSON.parse(edited)).toEqual({
      stream_options: { include_usage: true },
      user: expect.stringMatching(/^u_/) as unknown,
      stream: true,
      model: 'upstream',
      metadata: { a: expect.stringMatching(/^u_/) as unknown },
      messages: [{ user: 'kept' }],
    });
    const dropped = editOpenAiRequest(read('{"user":"ada","stream":true,"model":"m"}'), 'up', {
      endUsers: 'drop',
      pseudonymKey: null,
    });
    expect(dropped.toString()).toBe('{"stream_options":{"include_usage":true},"stream":true,"model":"up"}');
  });
});

describe('what a request is charged for where its answer reports nothing', () => {
  it.each([
    ['speech', '{"model":"m","input":"na\u00efve 🙂!"}', { characters: 8, request: 1 }],
    ['speech', '{"model":"m","input":"\ud83d\ude42\ud83d"}', { characters: 2, request: 1 }],
    ['speech', '{"model":"m"}', { characters: 0, request: 1 }],
    ['images', '{"model":"m","n":3}', { image: 3, request: 1 }],
    ['images', '{"model":"m","n":1e9}', { image: 1, request: 1 }],
    ['images', '{"model":"m","n":-1}', { image: 1, request: 1 }],
    ['rerank', '{"model":"m"}', { request: 1 }],
    ['chat-completions', '{"model":"m"}', undefined],
  ] as const)('%s of %s', (operation, text, usage) => {
    expect(read(text, operation).assumedUsage).toEqual(usage);
  });
});

describe('a stream is known by the field of its operation', () => {
  it.each([
    ['speech', '{"model":"m","stream_format":"sse"}', true],
    ['speech', '{"model":"m","stream_format":"audio"}', false],
    ['chat-completions', '{"model":"m","stream_format":"sse"}', false],
    ['images', '{"model":"m","stream":true}', true],
    ['responses', '{"model":"m","stream":true}', true],
  ] as const)('%s of %s', (operation, text, streamed) => {
    expect(read(text, operation).streamed).toBe(streamed);
  });
});

function undoUsage(edited: string, streamOptions: object | null | undefined): string {
  if (streamOptions === undefined) return edited.replace('"stream_options":{"include_usage":true},', '');
  if (streamOptions === null) return edited.replace('{"include_usage":true}', 'null');
  const [given] = Object.entries(streamOptions);
  if (given === undefined) return edited.replace('{"include_usage":true}', '{}');
  const [key, value] = given as [string, unknown];
  return key === 'include_usage'
    ? edited.replace('"include_usage":true', `"include_usage":${JSON.stringify(value)}`)
    : edited.replace('"include_usage":true,', '');
}

describe('a request is refused', () => {
  it.each([
    ['{"model":"cheap","model":"dear"}', 'the same key twice'],
    ['{"model":"cheap","mod\\u0065l":"dear"}', 'the same key in another spelling'],
    ['{"model":"a","x":1,"x":1}', 'any key twice'],
    ['{"model":"cheap","Model":"dear"}', 'a metered key in another case'],
    ['{"model":"cheap","\u017ftream":true}', 'a metered key with a letter that folds'],
    ['{"model":"a","stream":true,"stream_options":{"include_usage":false,"include_usage":true}}', 'an option twice'],
  ])('as a duplicate: %s (%s)', (text) => {
    expect(refusalOf(text)).toBe('duplicate_field');
  });

  it.each([
    ['{"model":"a"', 'cut short'],
    ['[]', 'no object'],
    ['', 'empty'],
    ['{"model":"a"} x', 'something behind it'],
    ['\uFEFF{"model":"a"}', 'a byte order mark'],
    ["{'model':'a'}", 'wrong quotes'],
    ['{"model":"a",}', 'a comma too many'],
    [`{"model":"a","x":${'['.repeat(100_000)}`, 'nested beyond measure'],
    [`{"model":"a","x":${'['.repeat(1000)}${']'.repeat(1000)}}`, 'nested deeply, closed'],
  ])('as malformed: %# (%s)', (text) => {
    expect(refusalOf(text)).toBe('malformed_json');
  });

  it('where the body is not UTF-8, which two readers would read differently', () => {
    expect(refusalOf(Buffer.from([...Buffer.from('{"model":"'), 0xff, ...Buffer.from('"}')]))).toBe('malformed_json');
  });

  it.each([
    '{}',
    '{"model":1}',
    '{"model":""}',
    '{"model":"a","stream":"true"}',
    '{"model":"a","stream":1}',
    '{"model":"a","stream":true,"stream_options":7}',
  ])('where a field that is metered has another type: %s', (text) => {
    expect(refusalOf(text)).toBe('invalid_request');
  });

  it.each(['{"model":"a","background":"true"}', '{"model":"a","background":1}'])(
    'where it cannot be told whether a response is to be made in the background: %s',
    (text) => {
      expect(refusalOf(text, 'responses')).toBe('invalid_request');
      expect(refusalOf(text.replace('background', 'Background'), 'responses')).toBe('duplicate_field');
    },
  );

  it('where it names the end user in a case that some providers read too', () => {
    expect(refusalOf('{"model":"a","User":"ada"}')).toBe('duplicate_field');
    for (const [background, inBackground] of [
      ['true', true],
      ['false', false],
      ['null', false],
    ] as const) {
      expect(read(`{"model":"a","background":${background}}`, 'responses').inBackground).toBe(inBackground);
    }
  });
});

describe('any input', () => {
  it('is either refused or valid JSON with a model, and never throws', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', 'model', ' ', '1', 'null') }),
        (text) => {
          const request = readOpenAiRequest(Buffer.from(text), 'chat-completions');
          if ('refused' in request) return;
          expect(JSON.parse(text)).toHaveProperty('model', request.model);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
