import Anthropic from '@anthropic-ai/sdk';
import { FunctionCallingConfigMode, GoogleGenAI, type GenerateContentResponse, type Part } from '@google/genai';
import OpenAI from 'openai';

/** One question in words that all three clients can say. */
export interface Question {
  readonly model: string;
  readonly text: string;
  readonly streamed: boolean;
  readonly system?: string;
  readonly temperature?: number;
  readonly stop?: string;
  readonly maxTokens?: number;
  /** Offers two tools, `weather` and `clock`. */
  readonly tools?: boolean;
  readonly imageBase64?: string;
  readonly schema?: Readonly<Record<string, unknown>>;
  readonly reasons?: boolean;
}

/** What a client made of the answer. */
export interface Heard {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly { readonly name: string; readonly args: unknown }[];
  readonly finish: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export type Ask = (question: Question) => Promise<Heard>;

export interface ClientOptions {
  /** Without a path. */
  readonly origin: string;
  readonly apiKey: string;
}

const PARAMETERS = {
  type: 'object' as const,
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
};
const TOOLS = ['weather', 'clock'];
const PNG = 'image/png';

export function openAiCaller({ origin, apiKey }: ClientOptions): Ask {
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey, maxRetries: 0 });
  return async (question) => {
    const body = openAiBody(question);
    const { choices, usage } = question.streamed
      ? await client.chat.completions
          .stream({ ...body, stream: true, stream_options: { include_usage: true } })
          .finalChatCompletion()
      : await client.chat.completions.create(body);
    const message = choices[0]?.message as OpenAI.ChatCompletionMessage & { readonly reasoning_content?: string };
    return {
      text: message.content ?? '',
      reasoning: message.reasoning_content ?? '',
      calls: (message.tool_calls ?? []).flatMap((call) =>
        call.type === 'function' ? [{ name: call.function.name, args: JSON.parse(call.function.arguments) }] : [],
      ),
      finish: choices[0]?.finish_reason ?? '',
      inputTokens: usage?.prompt_tokens ?? -1,
      outputTokens: usage?.completion_tokens ?? -1,
    };
  };
}

function openAiBody(question: Question): OpenAI.ChatCompletionCreateParamsNonStreaming {
  const { model, text, system, temperature, stop, maxTokens, tools, imageBase64, schema, reasons } = question;
  const image = imageBase64 && { type: 'image_url' as const, image_url: { url: `data:${PNG};base64,${imageBase64}` } };
  const name = (tool: string) => ({ type: 'function' as const, function: { name: tool, parameters: PARAMETERS } });
  return {
    model,
    messages: [
      ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
      { role: 'user', content: image ? [{ type: 'text', text }, image] : text },
    ],
    ...(temperature !== undefined && { temperature }),
    ...(stop !== undefined && { stop: [stop] }),
    ...(maxTokens !== undefined && { max_completion_tokens: maxTokens }),
    ...(tools === true && { tools: TOOLS.map(name) }),
    ...(schema && { response_format: { type: 'json_schema', json_schema: { name: 'response', schema } } }),
    ...(reasons === true && { reasoning_effort: 'low' }),
  };
}

export function anthropicCaller({ origin, apiKey }: ClientOptions): Ask {
  const client = new Anthropic({ baseURL: origin, apiKey, maxRetries: 0 });
  return async (question) => {
    const body = anthropicBody(question);
    const message = question.streamed
      ? await client.messages.stream(body).finalMessage()
      : await client.messages.create(body);
    return {
      text: message.content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
      reasoning: message.content.map((block) => (block.type === 'thinking' ? block.thinking : '')).join(''),
      calls: message.content.flatMap((block) =>
        block.type === 'tool_use' ? [{ name: block.name, args: block.input }] : [],
      ),
      finish: message.stop_reason ?? '',
      inputTokens: message.usage.input_tokens,
      outputTokens: message.usage.output_tokens,
    };
  };
}

function anthropicBody(question: Question): Anthropic.MessageCreateParamsNonStreaming {
  const { model, text, system, temperature, stop, maxTokens, tools, imageBase64, schema, reasons } = question;
  const image = imageBase64 && {
    type: 'image' as const,
    source: { type: 'base64' as const, media_type: 'image/png' as const, data: imageBase64 },
  };
  return {
    model,
    max_tokens: maxTokens ?? 4_000,
    messages: [{ role: 'user', content: image ? [{ type: 'text', text }, image] : text }],
    ...(system !== undefined && { system }),
    ...(temperature !== undefined && { temperature }),
    ...(stop !== undefined && { stop_sequences: [stop] }),
    ...(tools === true && { tools: TOOLS.map((name) => ({ name, input_schema: PARAMETERS })) }),
    ...(schema && { output_config: { format: { type: 'json_schema', schema } } }),
    ...(reasons === true && { thinking: { type: 'enabled', budget_tokens: 1_024 } }),
  };
}

export function geminiCaller({ origin, apiKey }: ClientOptions): Ask {
  const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: origin } });
  return async (question) => {
    const body = geminiBody(question);
    const answers: GenerateContentResponse[] = [];
    if (question.streamed)
      for await (const chunk of await client.models.generateContentStream(body)) answers.push(chunk);
    else answers.push(await client.models.generateContent(body));
    const parts = answers.flatMap(({ candidates }): Part[] => candidates?.[0]?.content?.parts ?? []);
    const usage = answers.findLast(({ usageMetadata }) => usageMetadata !== undefined)?.usageMetadata;
    return {
      text: parts.map(({ text, thought }) => (thought === true ? '' : (text ?? ''))).join(''),
      reasoning: parts.map(({ text, thought }) => (thought === true ? (text ?? '') : '')).join(''),
      calls: parts.flatMap(({ functionCall: call }) =>
        call === undefined ? [] : [{ name: call.name ?? '', args: call.args }],
      ),
      finish: answers.map(({ candidates }) => candidates?.[0]?.finishReason ?? '').join(''),
      inputTokens: usage?.promptTokenCount ?? -1,
      outputTokens: (usage?.candidatesTokenCount ?? 0) + (usage?.thoughtsTokenCount ?? 0),
    };
  };
}

function geminiBody(question: Question): Parameters<GoogleGenAI['models']['generateContent']>[0] {
  const { model, text, system, temperature, stop, maxTokens, tools, imageBase64, schema, reasons } = question;
  const image = imageBase64 === undefined ? [] : [{ inlineData: { mimeType: PNG, data: imageBase64 } }];
  const functionDeclarations = TOOLS.map((name) => ({ name, parametersJsonSchema: PARAMETERS }));
  return {
    model,
    contents: [{ role: 'user', parts: [{ text }, ...image] }],
    config: {
      ...(system !== undefined && { systemInstruction: system }),
      ...(temperature !== undefined && { temperature }),
      ...(stop !== undefined && { stopSequences: [stop] }),
      ...(maxTokens !== undefined && { maxOutputTokens: maxTokens }),
      ...(tools === true && {
        tools: [{ functionDeclarations }],
        toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.AUTO } },
      }),
      ...(schema && { responseMimeType: 'application/json', responseJsonSchema: schema }),
      ...(reasons === true && { thinkingConfig: { thinkingBudget: 1_024, includeThoughts: true } }),
    },
  };
}
