import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { editOpenAiRequest, readOpenAiRequest, type OpenAiRequest } from './openai-request.js';

function read(text: string): OpenAiRequest {
  const request = readOpenAiRequest(Buffer.from(text));
  if ('refused' in request) throw new Error(`refused: ${request.refused}`);
  return request;
}

function edit(text: string, upstreamModel = 'upstream'): string {
  return editOpenAiRequest(read(text), upstreamModel).toString();
}

function refusalOf(text: string | Buffer): string {
  const request = readOpenAiRequest(Buffer.from(text));
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
    expect(editOpenAiRequest(request, 'm')).toBe(request.bytes);
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
});

describe('any input', () => {
  it('is either refused or valid JSON with a model, and never throws', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', 'model', ' ', '1', 'null') }),
        (text) => {
          const request = readOpenAiRequest(Buffer.from(text));
          if ('refused' in request) return;
          expect(JSON.parse(text)).toHaveProperty('model', request.model);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
