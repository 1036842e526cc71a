import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { findObjects } from './json-objects.js';
import { KeyMarks } from './key-marks.js';
import { findStoredReferences } from './stored-references.js';

type Operation = Parameters<typeof findStoredReferences>[1];

function find(dialect: Dialect, operation: Operation, body: string): readonly string[] {
  const bytes = Buffer.from(body);
  const found = findStoredReferences(dialect, operation, bytes).filter(({ isGiven }) => isGiven !== true);
  return found.map(({ kind, field, id, range }) => {
    const raw: unknown = JSON.parse(bytes.toString('utf8', range.start, range.end));
    if (id !== undefined) expect(raw).toBe(id);
    return `${kind} ${field} ${id ?? '?'}`;
  });
}

const NAMED: readonly (readonly [Dialect, Operation, string, ...string[]])[] = [
  [
    'openai',
    'chat-completions',
    '{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]}',
    'file file_id file-1',
  ],
  ['openai', 'chat-completions', '{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}', 'audio audio audio_1'],
  ['openai', 'chat-completions', '{"audio":{"voice":{"id":"voice_1"}}}', 'voice voice voice_1'],
  ['openai', 'responses', '{"previous_response_id":"resp_1"}', 'response previous_response_id resp_1'],
  ['openai', 'responses', '{ "conversation" : "conv_1" }', 'conversation conversation conv_1'],
  ['openai', 'responses', '{"conversation":{"id":"conv_1"}}', 'conversation conversation conv_1'],
  [
    'openai',
    'responses',
    '{"prompt":{"id":"pmpt_1","variables":{"a":{"file_id":"file-1"}}}}',
    'file file_id file-1',
    'prompt prompt pmpt_1',
  ],
  ['openai', 'responses', '{"input":[{"type":"item_reference","id":"msg_1"}]}', 'item id msg_1'],
  ['openai', 'responses', '{"input":[{"id":"msg_1"}]}', 'item id msg_1'],
  ['openai', 'responses', '{"input":[{"id":"msg_1","type":null}]}', 'item id msg_1'],
  ['openai', 'responses', '{"input":[{"type":"message","id":"msg_1","type":"item_reference"}]}', 'item id msg_1'],
  ['openai', 'responses', '{"input":[{"type":"item_reference","id":"msg_1","type":"message"}]}', 'item id msg_1'],
  ['openai', 'responses', '{"input":[{"type":"image_generation_call","id":"ig_1"}]}', 'item id ig_1'],
  ['openai', 'responses', '{"input":[{"type":"reasoning","id":"rs_1","summary":[]}]}', 'item id rs_1'],
  ['openai', 'responses', '{"input":[{"type":"web_search_call","id":"ws_1","status":"completed"}]}', 'item id ws_1'],
  ['openai', 'responses', '{"input":[{"content":[{"type":"input_image","file_id":"file-1"}]}]}', 'file file_id file-1'],
  ['openai', 'responses', '{"input":[{"output":[{"type":"input_file","file_id":"file-1"}]}]}', 'file file_id file-1'],
  [
    'openai',
    'responses',
    '{"tools":[{"vector_store_ids":["vs_1","vs_2"]}]}',
    'vector-store vector_store_ids vs_1',
    'vector-store vector_store_ids vs_2',
  ],
  ['openai', 'responses', '{"tools":[{"container":"cntr_1"}]}', 'container container cntr_1'],
  ['openai', 'responses', '{"tools":[{"container":{"type":"auto","file_ids":["file-1"]}}]}', 'file file_ids file-1'],
  ['openai', 'responses', '{"tools":[{"environment":{"container_id":"cntr_1"}}]}', 'container container_id cntr_1'],
  ['openai', 'responses', '{"tools":[{"environment":{"skills":[{"skill_id":"skill_1"}]}}]}', 'skill skill_id skill_1'],
  [
    'openai',
    'images',
    '{"images":[{"file_id":"file-1"}],"mask":{"file_id":"file-2"}}',
    'file file_id file-1',
    'file file_id file-2',
  ],
  ['openai', 'speech', '{"voice":{"id":"voice_1"}}', 'voice voice voice_1'],
  ['anthropic', 'chat-completions', '{"container":"container_1"}', 'container container container_1'],
  [
    'anthropic',
    'chat-completions',
    '{"container":{"id":"container_1","skills":[{"skill_id":"skill_1"}]}}',
    'skill skill_id skill_1',
    'container container container_1',
  ],
  [
    'anthropic',
    'chat-completions',
    '{"messages":[{"content":[{"source":{"type":"file","file_id":"file_1"}}]}]}',
    'file file_id file_1',
  ],
  [
    'anthropic',
    'chat-completions',
    '{"messages":[{"content":[{"type":"container_upload","file_id":"file_1"}]}]}',
    'file file_id file_1',
  ],
  [
    'gemini',
    'chat-completions',
    '{"cachedContent":"cachedContents/1"}',
    'cached-content cachedContent cachedContents/1',
  ],
  [
    'gemini',
    'chat-completions',
    '{"cached_content":"cachedContents/1"}',
    'cached-content cached_content cachedContents/1',
  ],
  [
    'gemini',
    'chat-completions',
    '{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a"}}]}]}',
    'file fileUri https://generativelanguage.googleapis.com/v1beta/files/a',
  ],
  [
    'gemini',
    'chat-completions',
    '{"x":{"file_uri":"HTTPS://u:p@GenerativeLanguage.googleapis.com.:443/x"}}',
    'file file_uri HTTPS://u:p@GenerativeLanguage.googleapis.com.:443/x',
  ],
  [
    'gemini',
    'count-tokens',
    '{"generateContentRequest":{"cachedContent":"cachedContents/1"}}',
    'cached-content cachedContent cachedContents/1',
  ],
  ['gemini', 'chat-completions', '{"x":{"fileUri":"files/a"}}', 'file fileUri files/a'],
  ['gemini', 'chat-completions', '{"x":{"fileUri":"gs://bucket/a"}}', 'file fileUri gs://bucket/a'],
  [
    'gemini',
    'chat-completions',
    '{"tools":[{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/1"]}}]}',
    'search-store fileSearchStoreNames fileSearchStores/1',
  ],
  [
    'gemini',
    'chat-completions',
    '{"tools":[{"retrieval":{"vertexAiSearch":{"datastore":"projects/1"}}}]}',
    'search-store vertexAiSearch ?',
  ],
];

const HIDDEN: readonly (readonly [string, string])[] = [
  ['in an escaped key', '{"x":{"f\\u0069le_id":"file-1"}}'],
  [
    'in a key all escaped',
    `{"x":{"${Array.from('file_id', (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`).join('')}":"file-1"}}`,
  ],
  ['in a key in another case', '{"x":{"File_ID":"file-1"}}'],
  ['in a key with a letter that folds', '{"x":{"file_\u0131d":"file-1"}}'],
  ['first of two', '{"x":{"file_id":"file-1","file_id":null}}'],
  ['second of two', '{"x":{"file_id":null,"file_id":"file-1"}}'],
  ['in the first of two members', '{"x":{"file_id":"file-1"},"y":{},"x":1}'],
  ['in a list in a list', '{"x":[[[{"file_ids":[["file-1"]]}]]]}'],
  ['behind what looks like an end', '{"a":"\\"}","x":{"file_id":"file-1"}}'],
  ['behind escapes', `{"a":"${'\\\\'.repeat(99)}\\"","x":{"file_id":"file-1"}}`],
  ['behind a long text', `{"a":"${'\\"x'.repeat(10_000)}","file_id":"file-1"}`],
  ['behind a long list', `{"a":[${'1,'.repeat(10_000)}1],"file_id":"file-1"}`],
];

const SILENT: readonly (readonly [Dialect, Operation, string])[] = [
  [
    'openai',
    'chat-completions',
    '{"tools":[{"function":{"parameters":{"properties":{"file_id":{"type":"string"}}}}}]}',
  ],
  ['openai', 'chat-completions', '{"response_format":{"json_schema":{"schema":{"properties":{"file_id":{}}}}}}'],
  [
    'openai',
    'chat-completions',
    '{"messages":[{"content":"the \\"file_id\\": \\"file-1\\" of a text"}],"audio":{"voice":"alloy"}}',
  ],
  [
    'openai',
    'chat-completions',
    '{"messages":[{"tool_calls":[{"id":"call_1","function":{"arguments":"{\\"file_id\\":1}"}}],"audio":null}]}',
  ],
  ['openai', 'chat-completions', '{"previous_response_id":"resp_1","prompt":"x"}'],
  ['openai', 'responses', '{"previous_response_id":null,"conversation":null,"prompt":null,"input":"x"}'],
  ['openai', 'responses', '{"input":[{"type":"message","id":"msg_1","role":"assistant","content":[]}]}'],
  ['openai', 'responses', '{"input":[{"id":"msg_1","role":"assistant","content":[]}]}'],
  ['openai', 'responses', '{"input":[{"type":"function_call","id":"fc_1","call_id":"call_1","arguments":"{}"}]}'],
  ['openai', 'responses', '{"input":[{"type":"reasoning","id":"of-another-form","summary":[]}]}'],
  ['openai', 'responses', '{"input":[{"type":"image_generation_call","id":"ig_1","result":"iVBO"}]}'],
  ['openai', 'responses', '{"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]}'],
  ['openai', 'speech', '{"voice":"alloy"}'],
  [
    'anthropic',
    'chat-completions',
    '{"messages":[{"content":[{"type":"tool_use","input":{"file_id":"1","container":"x"}}]}]}',
  ],
  ['anthropic', 'chat-completions', '{"tools":[{"input_schema":{"properties":{"file_id":{}}}}]}'],
  ['gemini', 'chat-completions', '{"contents":[{"parts":[{"functionCall":{"args":{"fileUri":"files/1"}}}]}]}'],
  [
    'gemini',
    'chat-completions',
    '{"contents":[{"parts":[{"fileData":{"fileUri":"https://www.youtube.com/watch?v=1"}}]}]}',
  ],
  ['gemini', 'chat-completions', '{"x":{"fileUri":"https://example.com/generativelanguage.googleapis.com/files/a"}}'],
  ['openai', 'embeddings', '{"file_id":"x"}'],
];

describe('what a provider keeps', () => {
  const named = NAMED.map(([dialect, operation, body, ...references]) => ({ dialect, operation, body, references }));

  it.each(named)('is found in $operation of $dialect: $body', ({ dialect, operation, body, references }) => {
    expect(find(dialect, operation, body)).toEqual(references);
  });

  it.each(HIDDEN)('is found %s', (_where, body) => {
    const found = find('openai', 'chat-completions', body);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^file \S+ file-1$/);
  });

  it.each(SILENT)('is not found where it is not named: %s, %s of %s', (dialect, operation, body) => {
    expect(find(dialect, operation, body)).toEqual([]);
  });

  it('is named by what is no text too', () => {
    for (const value of ['7', 'true', '{"id":7}', '{"id":{}}']) {
      expect(find('openai', 'responses', `{"previous_response_id":${value}}`)).toEqual([
        'response previous_response_id ?',
      ]);
    }
  });
});

describe('the objects of a body', () => {
  it('are all that a parser finds, each member with its value', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })),
        fc.constantFrom(undefined, 1),
        (body, indent) => {
          const bytes = Buffer.from(JSON.stringify(body, undefined, indent));
          const seen: unknown[] = [];
          JSON.parse(bytes.toString(), (_key, value: unknown) => {
            if (typeof value === 'object' && value !== null && !Array.isArray(value)) seen.push(value);
            return value;
          });
          const found = findObjects(bytes, () => false).map(({ members }) =>
            Object.fromEntries(
              members.map(({ key, range: { start, end } }) => [
                key,
                JSON.parse(bytes.toString('utf8', start, end)) as unknown,
              ]),
            ),
          );
          expect(JSON.stringify(found)).toEqual(JSON.stringify(seen));
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('marks', () => {
  const marks = new KeyMarks(['file_id', 'id']);

  it('never miss a key, in any spelling, wherever it stands', () => {
    const spelt = fc
      .tuple(fc.constantFrom('file_id', 'id', 'FILE_ID'), fc.array(fc.boolean(), { minLength: 7, maxLength: 7 }))
      .map(([name, escapes]) =>
        Array.from(name, (letter, at) =>
          escapes[at] === true ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}` : letter,
        ).join(''),
      );
    const noise = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value));
    fc.assert(
      fc.property(noise, spelt, noise, fc.nat(400), (before, key, after, length) => {
        const body = `{"a":${before},"b":"${'\\\\'.repeat(length)}","c":{"${key}":1},"d":${after}}`;
        expect(marks.mayBeIn(Buffer.from(body))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    '{}',
    '{"model":"m","messages":[{"role":"user","content":"what is the id?\\n\\"id\\""}]}',
    '{"idx":1,"xid":"file-id"}',
  ])('pass over what has none: %s', (body) => {
    expect(marks.mayBeIn(Buffer.from(body))).toBe(false);
  });
});
