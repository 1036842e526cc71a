import { describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { ChatRequest, UnreadableRequest } from './chat.js';
import { CHAT_DIALECTS } from './chat-dialects.js';

const PATH = { model: 'm', streamed: false };

interface Sample {
  readonly dialect: Dialect;
  readonly full: object;
  /** Without what has no place elsewhere. */
  readonly bare: object;
  readonly fields: readonly string[];
  readonly wrong: object;
  readonly wrongField: string;
}

const text = { type: 'text', text: 'Hi' };

function openAiSample(): Sample {
  const own = { type: 'function', function: { name: 'f' } };
  const file = { type: 'file', file: { file_id: 'f' } };
  const bare = { model: 'm', messages: [{ role: 'user', content: [text] }], tools: [own] };
  return {
    dialect: 'openai',
    bare,
    full: {
      ...bare,
      messages: [{ role: 'user', content: [file, text], name: 'Ann' }],
      tools: [{ type: 'custom', custom: { name: 'c' } }, own],
      logit_bias: { 1: 2 },
      unheard_of: 1,
    },
    fields: ['messages[0].content[0].file.file_id', 'messages[0].name', 'tools[0].type', 'logit_bias', 'unheard_of'],
    wrong: { temperature: 'hot' },
    wrongField: 'temperature',
  };
}

function anthropicSample(): Sample {
  const own = { name: 'a', input_schema: {} };
  const search = { type: 'web_search_20250305', name: 'web_search' };
  const file = { type: 'image', source: { type: 'file', file_id: 'f' } };
  const bare = { model: 'm', max_tokens: 9, messages: [{ role: 'user', content: [text] }], tools: [own] };
  return {
    dialect: 'anthropic',
    bare,
    full: { ...bare, container: 'c', tools: [search, own], messages: [{ role: 'user', content: [file, text] }] },
    fields: ['container', 'tools.0.type', 'messages.0.content.0.source.type'],
    wrong: { temperature: 'hot' },
    wrongField: 'temperature',
  };
}

function geminiSample(): Sample {
  const part = { text: 'Hi' };
  const own = { functionDeclarations: [{ name: 'f' }] };
  const stored = { fileData: { fileUri: 'https://generativelanguage.googleapis.com/v1beta/files/x' } };
  const run = { executableCode: { code: '1' }, codeExecutionResult: {} };
  const formatted = { response_mime_type: 'text/x.enum', response_schema: { type: 'STRING' }, topP: 0.5 };
  return {
    dialect: 'gemini',
    bare: { contents: [{ parts: [part] }], tools: [own], generationConfig: { topP: 0.5 } },
    full: {
      contents: [{ parts: [stored, run, part] }],
      tools: [{ google_search: {} }, own],
      cachedContent: 'cachedContents/x',
      generationConfig: formatted,
    },
    fields: [
      'cachedContent',
      'contents[0].parts[0].fileData',
      'contents[0].parts[1].codeExecutionResult',
      'contents[0].parts[1].executableCode',
      'generationConfig.response_mime_type',
      'generationConfig.response_schema',
      'tools[0].google_search',
    ],
    wrong: { generationConfig: { topP: 'much' } },
    wrongField: 'generationConfig.topP',
  };
}

describe.each([openAiSample(), anthropicSample(), geminiSample()])('what $dialect alone can say', (sample) => {
  const { full, bare, fields, wrong, wrongField } = sample;
  const read = (body: object): ChatRequest | UnreadableRequest => CHAT_DIALECTS[sample.dialect].readRequest(body, PATH);

  it('is named field by field, and the rest is read as if it had not been said', () => {
    const request = read(full);
    if ('unreadable' in request) throw new Error(request.unreadable.message);
    const { inexpressible = [], ...rest } = request;
    expect(inexpressible.map(({ field }) => field)).toEqual(expect.arrayContaining([...fields]));
    expect(rest).toEqual(read(bare));
    expect(read(bare)).not.toHaveProperty('inexpressible');
  });

  it('comes after what is wrong', () => {
    expect(read({ ...full, ...wrong })).toMatchObject({ unreadable: { field: wrongField } });
  });
});
