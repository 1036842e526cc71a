import {
  ApiError,
  createPartFromFunctionResponse,
  FunctionCallingConfigMode,
  GoogleGenAI,
  Type,
  type Content,
  type GenerateContentConfig,
  type GenerateContentResponse,
  type Part,
} from '@google/genai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../server.js';

let simulator: RunningSimulator;
let client: GoogleGenAI;
const model = 'sim-gemini';
const tools = [
  {
    functionDeclarations: [
      {
        name: 'look_up',
        parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ['city'] },
      },
      {
        name: 'count',
        parametersJsonSchema: { type: 'object', properties: { of: { type: 'integer' } }, required: ['of'] },
      },
    ],
  },
];

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  client = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: simulator.url } });
});
afterAll(() => simulator.close());

interface Heard {
  readonly text: string;
  readonly thoughts: string;
  readonly signatures: readonly string[];
  readonly calls: readonly unknown[];
  readonly finishReason: unknown;
  readonly usage: GenerateContentResponse['usageMetadata'];
}

function hear(responses: readonly GenerateContentResponse[]): Heard {
  const parts = responses.flatMap(
    ({ candidates }): Part[] => candidates?.find(({ index }) => index === 0)?.content?.parts ?? [],
  );
  const join = (thought: boolean) =>
    parts.map((part) => ((part.thought ?? false) === thought ? (part.text ?? '') : '')).join('');
  return {
    text: join(false),
    thoughts: join(true),
    signatures: parts.flatMap(({ thoughtSignature }) => thoughtSignature ?? []),
    calls: parts.flatMap(({ functionCall }) =>
      functionCall ? [{ name: functionCall.name, args: functionCall.args }] : [],
    ),
    finishReason: responses.at(-1)?.candidates?.[0]?.finishReason,
    usage: responses.at(-1)?.usageMetadata,
  };
}

/** The same request streamed and not, which must say the same. */
async function both(contents: string | Content[] | Part[], config: GenerateContentConfig = {}): Promise<Heard> {
  const plain = hear([await client.models.generateContent({ model, contents, config })]);
  const chunks: GenerateContentResponse[] = [];
  for await (const chunk of await client.models.generateContentStream({ model, contents, config })) chunks.push(chunk);
  expect(hear(chunks)).toEqual(plain);
  return plain;
}

describe('Gemini content', () => {
  it('says the same streamed and not, and counts as OpenAI’s dialect does', async () => {
    const { text, finishReason, usage } = await both('Grüße');
    expect([text.includes('simulator’s answer'), finishReason]).toEqual([true, 'STOP']);
    const completion = text.split(' ').length;
    expect(usage).toMatchObject({
      promptTokenCount: 2,
      candidatesTokenCount: completion,
      totalTokenCount: 2 + completion,
    });
    expect(await client.models.countTokens({ model, contents: 'Grüße' })).toMatchObject({ totalTokens: 2 });
  });

  it('calls tools when told to, and as the calling mode demands', async () => {
    const look = { name: 'look_up', args: { city: 'simulated city' } };
    const count = { name: 'count', args: { of: 7 } };
    expect((await both('Please use tool look_up.', { tools })).calls).toEqual([look]);
    expect((await both('use both tools', { tools })).calls).toEqual([look, count]);
    const choose = (mode: FunctionCallingConfigMode, allowedFunctionNames?: string[]) => ({
      tools,
      toolConfig: { functionCallingConfig: { mode, ...(allowedFunctionNames && { allowedFunctionNames }) } },
    });
    expect((await both('hello', choose(FunctionCallingConfigMode.ANY))).calls).toEqual([look]);
    expect((await both('hello', choose(FunctionCallingConfigMode.ANY, ['count']))).calls).toEqual([count]);
    expect((await both('use both tools', choose(FunctionCallingConfigMode.NONE))).calls).toEqual([]);
  });

  it('quotes the results of tools', async () => {
    const { text } = await both(
      [
        { role: 'user', parts: [{ text: 'use tool look_up' }] },
        { role: 'model', parts: [{ functionCall: { name: 'look_up', args: { city: 'x' } } }] },
        { role: 'user', parts: [createPartFromFunctionResponse('a', 'look_up', { output: 'sunny' })] },
      ],
      { tools },
    );
    expect(text).toBe('The tools said: look_up → sunny');
  });

  it('names the images that it was shown', async () => {
    const { text } = await both([
      { inlineData: { mimeType: 'image/png', data: Buffer.alloc(70).toString('base64') } },
      { fileData: { fileUri: 'https://example.com/a.png', mimeType: 'image/png' } },
      { text: 'What is this?' },
    ]);
    expect(text).toBe('I see image/png of 70 bytes and what is at https://example.com/a.png.');
  });

  it('matches a schema of either kind', async () => {
    const responseMimeType = 'application/json';
    const openApi = { type: Type.OBJECT, properties: { n: { type: Type.INTEGER, minimum: 10 } }, required: ['n'] };
    expect(JSON.parse((await both('hi', { responseMimeType, responseSchema: openApi })).text)).toEqual({ n: 10 });
    const json = { type: 'array', items: { enum: ['a', 'b'] }, minItems: 2 };
    expect(JSON.parse((await both('hi', { responseMimeType, responseJsonSchema: json })).text)).toEqual(['a', 'a']);
  });

  it('thinks, signed and counted, when asked; hidden unless it is to be shown', async () => {
    const shown = await both('hi', { thinkingConfig: { thinkingBudget: 2048, includeThoughts: true } });
    expect(shown.thoughts.split(' ')).toHaveLength(8);
    expect(shown.signatures).toHaveLength(1);
    expect(shown.usage).toMatchObject({ thoughtsTokenCount: 8, candidatesTokenCount: shown.text.split(' ').length });
    const hidden = await both('hi', { thinkingConfig: { thinkingBudget: 2048 } });
    expect([hidden.thoughts, hidden.usage?.thoughtsTokenCount]).toEqual(['', 8]);
  });

  it('ends at a stop sequence, at the cap, and for safety', async () => {
    const stopped = await both('hi', { stopSequences: [' the'] });
    expect([stopped.finishReason, stopped.text]).toEqual(['STOP', 'This is']);
    const cut = await both('hi', { maxOutputTokens: 3 });
    expect([cut.finishReason, cut.usage?.candidatesTokenCount]).toEqual(['MAX_TOKENS', 3]);
    expect((await both('Please refuse.')).finishReason).toBe('SAFETY');
  });

  it('reports cached tokens within the prompt, and as many candidates as were wanted', async () => {
    const { usage } = await both('[[sim cached=3 tokens=6]]', { candidateCount: 2 });
    expect(usage).toMatchObject({ promptTokenCount: 7, cachedContentTokenCount: 3, candidatesTokenCount: 12 });
    const { candidates } = await client.models.generateContent({
      model,
      contents: 'hi',
      config: { candidateCount: 2 },
    });
    expect(candidates).toHaveLength(2);
  });

  it('echoes what it understood', async () => {
    const { text } = await both(
      [
        { role: 'user', parts: [{ text: 'one' }] },
        { role: 'model', parts: [{ text: 'two', thoughtSignature: 'c2ln' }] },
        { role: 'user', parts: [{ text: 'echo parameters' }] },
      ],
      {
        systemInstruction: 'Be brief.',
        temperature: 0.5,
        topP: 0.9,
        topK: 4,
        seed: 7,
        maxOutputTokens: 500,
        stopSequences: ['§'],
      },
    );
    expect(JSON.parse(text)).toEqual({
      system: 'Be brief.',
      roles: ['user', 'assistant', 'user'],
      max: 500,
      stop: ['§'],
      temperature: 0.5,
      top_p: 0.9,
      top_k: 4,
      seed: 7,
      signatures: ['c2ln'],
    });
  });
});

describe('Gemini embeddings and models', () => {
  it('embed one content or several', async () => {
    const embedded = await client.models.embedContent({
      model: 'sim-gemini-embedding',
      contents: ['abcde', 'two'],
      config: { outputDimensionality: 8 },
    });
    expect(embedded.embeddings?.map(({ values }) => values?.length)).toEqual([8, 8]);
    const single = await fetch(`${simulator.url}/v1beta/models/sim-gemini-embedding:embedContent?key=k`, {
      method: 'POST',
      body: JSON.stringify({ content: { parts: [{ text: 'abcde' }] }, outputDimensionality: 8 }),
    });
    expect(await single.json()).toMatchObject({
      embedding: { values: embedded.embeddings?.[0]?.values },
      usageMetadata: { promptTokenCount: 2 },
    });
  });

  it('lists the models in its own shape', async () => {
    const names: unknown[] = [];
    for await (const { name } of await client.models.list()) names.push(name);
    expect(names).toContain(`models/${model}`);
    const beta = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: simulator.url, apiVersion: 'v1beta' } });
    expect(await beta.models.get({ model })).toMatchObject({ name: `models/${model}` });
    expect((await beta.models.generateContent({ model, contents: 'hi' })).text).toContain('simulator');
  });
});

describe('Gemini refusals', () => {
  it('speak as Google does', async () => {
    const failing = (contents: string, wanted = model) => client.models.generateContent({ model: wanted, contents });
    await expect(failing('x', 'none')).rejects.toThrow(ApiError);
    await expect(failing('x', 'none')).rejects.toMatchObject({ status: 404 });
    await expect(failing('[[sim status=429]]')).rejects.toThrow('RESOURCE_EXHAUSTED');
    const nobody = await fetch(`${simulator.url}/v1beta/models`);
    expect([nobody.status, await nobody.json()]).toMatchObject([403, { error: { status: 'PERMISSION_DENIED' } }]);
    const malformed = await fetch(`${simulator.url}/v1beta/models/${model}:generateContent?key=k`, {
      method: 'POST',
      body: '{',
    });
    expect([malformed.status, await malformed.json()]).toMatchObject([400, { error: { status: 'INVALID_ARGUMENT' } }]);
  });

  it('come inside a stream in its own shape', async () => {
    const answer = await fetch(`${simulator.url}/v1beta/models/${model}:streamGenerateContent?alt=sse&key=k`, {
      method: 'POST',
      body: JSON.stringify({ contents: [{ parts: [{ text: '[[sim error-in-stream=2 usage=none]]' }] }] }),
    });
    const text = await answer.text();
    expect(text.match(/^data: /gm)).toHaveLength(3);
    expect(text).toContain('data: {"error":{"code":503');
    expect(text).not.toContain('usageMetadata');
  });

  it('leave a stream without alt=sse one JSON array', async () => {
    const answer = await fetch(`${simulator.url}/v1beta/models/${model}:streamGenerateContent?key=k`, {
      method: 'POST',
      body: JSON.stringify({ contents: [{ parts: [{ text: '[[sim tokens=4]]' }] }] }),
    });
    expect(await answer.json()).toHaveLength(5);
  });
});
