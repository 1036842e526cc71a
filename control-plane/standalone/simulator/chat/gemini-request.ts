import { z } from 'zod';
import { base64Length, type ChatTask, type Media, type ReasoningWish, type ToolChoice, type Turn } from './task.js';

const blob = z.object({ mimeType: z.string(), data: z.string() });
const fileData = z.object({ fileUri: z.string(), mimeType: z.string().optional() });
const part = z.object({
  text: z.string().optional(),
  thought: z.boolean().optional(),
  thoughtSignature: z.string().optional(),
  inlineData: blob.optional(),
  fileData: fileData.optional(),
  functionCall: z.object({ id: z.string().optional(), name: z.string(), args: z.unknown().optional() }).optional(),
  functionResponse: z
    .object({
      id: z.string().optional(),
      name: z.string(),
      response: z.record(z.string(), z.unknown()).optional(),
      parts: z.array(z.object({ inlineData: blob.optional(), fileData: fileData.optional() })).optional(),
    })
    .optional(),
});
export const contentSchema = z.object({
  role: z.enum(['user', 'model', 'function']).optional(),
  parts: z.array(part).default([]),
});

const generationConfig = z.object({
  temperature: z.number().optional(),
  topP: z.number().optional(),
  topK: z.number().optional(),
  seed: z.int().optional(),
  presencePenalty: z.number().optional(),
  frequencyPenalty: z.number().optional(),
  candidateCount: z.int().min(1).max(8).optional(),
  maxOutputTokens: z.int().min(1).optional(),
  stopSequences: z.array(z.string()).max(5).optional(),
  responseMimeType: z.string().optional(),
  responseSchema: z.unknown().optional(),
  responseJsonSchema: z.unknown().optional(),
  thinkingConfig: z
    .object({
      includeThoughts: z.boolean().optional(),
      thinkingBudget: z.int().optional(),
      thinkingLevel: z.string().optional(),
    })
    .optional(),
});

/** The fields of a generateContent request that the simulator minds. https://ai.google.dev/api/generate-content */
export const generateRequestSchema = z.object({
  contents: z.array(contentSchema).min(1),
  systemInstruction: contentSchema.omit({ role: true }).optional(),
  generationConfig: generationConfig.optional(),
  serviceTier: z.string().optional(),
  tools: z
    .array(
      z.object({
        functionDeclarations: z
          .array(
            z.object({
              name: z.string().min(1),
              parameters: z.unknown().optional(),
              parametersJsonSchema: z.unknown().optional(),
            }),
          )
          .optional(),
      }),
    )
    .optional(),
  toolConfig: z
    .object({
      functionCallingConfig: z
        .object({ mode: z.string().optional(), allowedFunctionNames: z.array(z.string()).optional() })
        .optional(),
    })
    .optional(),
});

export type GenerateRequest = z.infer<typeof generateRequestSchema>;
type Part = z.infer<typeof part>;

/** What a Gemini request asks for. */
export function geminiTask(model: string, request: GenerateRequest): ChatTask {
  const config = request.generationConfig ?? {};
  const declared = (request.tools ?? []).flatMap(({ functionDeclarations: each }) => each ?? []);
  return {
    model,
    turns: geminiTurns(request),
    tools: declared.map(({ name, parameters, parametersJsonSchema }) => ({
      name,
      parameters: parameters ?? parametersJsonSchema,
    })),
    toolChoice: readToolChoice(request.toolConfig),
    parallelTools: true,
    schema: readSchema(config),
    reasoning: readReasoning(config.thinkingConfig),
    stop: config.stopSequences ?? [],
    maxTokens: config.maxOutputTokens ?? Infinity,
    choices: config.candidateCount ?? 1,
    echoed: {
      temperature: config.temperature,
      top_p: config.topP,
      top_k: config.topK,
      seed: config.seed,
      frequency_penalty: config.frequencyPenalty,
      presence_penalty: config.presencePenalty,
      service_tier: request.serviceTier,
    },
  };
}

/** A content with function responses is a turn of each tool, and one of the user where it holds anything else. */
export function geminiTurns({
  systemInstruction,
  contents,
}: Pick<GenerateRequest, 'contents' | 'systemInstruction'>): Turn[] {
  const instructions = (systemInstruction?.parts ?? []).map(({ text = '' }) => text).join('\n');
  const first: Turn[] = instructions === '' ? [] : [{ role: 'system', text: instructions }];
  return contents.reduce<Turn[]>((turns, { role, parts }) => {
    const results = parts.filter(({ functionResponse }) => functionResponse);
    const others = parts.filter(({ functionResponse }) => !functionResponse);
    const own = others.length > 0 || results.length === 0;
    return [
      ...turns,
      ...results.map(readResult),
      ...(own ? [readTurn(role === 'model' ? 'assistant' : 'user', others)] : []),
    ];
  }, first);
}

function readTurn(role: Turn['role'], parts: readonly Part[]): Turn {
  const media = parts.flatMap(readMedia);
  const calls = parts.flatMap(({ functionCall }) => (functionCall ? [functionCall.name] : []));
  const thoughts = parts.flatMap(({ text, thought }) => (thought && text ? [text] : []));
  const signatures = parts.flatMap(({ thoughtSignature }) => (thoughtSignature ? [thoughtSignature] : []));
  return {
    role,
    text: parts.map(({ text = '', thought }) => (thought ? '' : text)).join(''),
    ...(media.length > 0 && { media }),
    ...(calls.length > 0 && { calls }),
    ...(thoughts.length > 0 && { thoughts }),
    ...(signatures.length > 0 && { signatures }),
  };
}

/** A response of one text, whatever it is called, is that text; any other is its JSON. `error` alone says that it failed. */
function readResult({ functionResponse }: Part): Turn {
  const response = functionResponse?.response ?? {};
  const values = Object.values(response);
  const [only] = values;
  const media = (functionResponse?.parts ?? []).flatMap(readMedia);
  return {
    role: 'tool',
    text: values.length === 1 && typeof only === 'string' ? only : JSON.stringify(response),
    ...(functionResponse && { tool: functionResponse.name }),
    ...(values.length === 1 && 'error' in response && { failed: true }),
    ...(media.length > 0 && { media }),
  };
}

function readMedia({ inlineData, fileData: file }: Pick<Part, 'inlineData' | 'fileData'>): Media[] {
  if (inlineData) return [{ mediaType: inlineData.mimeType, bytes: base64Length(inlineData.data) }];
  return file ? [{ url: file.fileUri }] : [];
}

function readToolChoice(config: GenerateRequest['toolConfig']): ToolChoice {
  const { mode = 'AUTO', allowedFunctionNames: names } = config?.functionCallingConfig ?? {};
  if (mode === 'NONE') return { mode: 'none' };
  if (mode !== 'ANY') return { mode: 'auto' };
  return { mode: 'required', ...(names && names.length > 0 && { names }) };
}

function readSchema(config: z.infer<typeof generationConfig>): unknown {
  if (config.responseMimeType !== 'application/json') return undefined;
  const free = { type: 'object', properties: { answer: { type: 'string' } } };
  return config.responseJsonSchema ?? config.responseSchema ?? free;
}

function readReasoning(config: z.infer<typeof generationConfig>['thinkingConfig']): ReasoningWish | undefined {
  if (!config || config.thinkingBudget === 0) return undefined;
  const effort = config.thinkingLevel?.toLowerCase() ?? config.thinkingBudget ?? -1;
  return { effort, shown: config.includeThoughts === true };
}
