import { createPartFromFunctionResponse, FunctionCallingConfigMode, GoogleGenAI } from '@google/genai';
import type { Content, GenerateContentParameters, GenerateContentResponse, Part } from '@google/genai';
import { PICTURE_TYPE, TOOL_PARAMETERS, TOOLS, type Said } from './conversation.js';
import type { ClientOptions, Conversation, Picture, Reply, Talk, ToolResult } from './conversation.js';

export function geminiTalker({ origin, apiKey }: ClientOptions): Talk {
  const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: origin } });
  return async (conversation) => {
    const body = bodyOf(conversation);
    const answers: GenerateContentResponse[] = [];
    if (conversation.streamed)
      for await (const chunk of await client.models.generateContentStream(body)) answers.push(chunk);
    else answers.push(await client.models.generateContent(body));
    return replyOf(answers);
  };
}

function replyOf(answers: readonly GenerateContentResponse[]): Reply {
  // The client's own chats keep a streamed answer like this: a content for each of its chunks.
  const contents = answers.flatMap(({ candidates }): Content[] => {
    const content = candidates?.[0]?.content;
    return content === undefined ? [] : [content];
  });
  const parts = contents.flatMap((content): Part[] => content.parts ?? []);
  const usage = answers.findLast(({ usageMetadata }) => usageMetadata !== undefined)?.usageMetadata;
  const thinking = usage?.thoughtsTokenCount ?? 0;
  return {
    answer: contents,
    text: parts.map(({ text, thought }) => (thought === true ? '' : (text ?? ''))).join(''),
    refusal: '',
    thoughts: parts.map(({ text, thought }) => (thought === true ? (text ?? '') : '')).join(''),
    calls: parts.flatMap(({ functionCall: call }) =>
      call === undefined ? [] : [{ id: call.id ?? '', name: call.name ?? '', args: call.args }],
    ),
    finish: answers.map(({ candidates }) => candidates?.[0]?.finishReason ?? '').join(''),
    stopSequence: null,
    usage: {
      input: usage?.promptTokenCount ?? -1,
      cached: usage?.cachedContentTokenCount ?? 0,
      output: (usage?.candidatesTokenCount ?? 0) + thinking,
      reasoning: thinking,
    },
  };
}

function bodyOf(conversation: Conversation): GenerateContentParameters {
  const { model, said, system, temperature, topP, stop, maxTokens, tools, schema, reasons } = conversation;
  const functionDeclarations = TOOLS.map((name) => ({ name, parametersJsonSchema: TOOL_PARAMETERS }));
  return {
    model,
    contents: said.flatMap(turns),
    config: {
      ...(system !== undefined && { systemInstruction: system }),
      ...(temperature !== undefined && { temperature }),
      ...(topP !== undefined && { topP }),
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

function turns(said: Said): Content[] {
  if ('answer' in said) return said.answer as Content[];
  const { user, pictures = [], results = [] } = said;
  const text = user === '' ? [] : [{ text: user }];
  return [{ role: 'user', parts: [...results.map(resultOf), ...text, ...pictures.map(imageOf)] }];
}

function resultOf({ callId, name, text, failed }: ToolResult): Part {
  return createPartFromFunctionResponse(callId, name, failed === true ? { error: text } : { output: text });
}

function imageOf(picture: Picture): Part {
  return 'url' in picture
    ? { fileData: { fileUri: picture.url, mimeType: PICTURE_TYPE } }
    : { inlineData: { mimeType: PICTURE_TYPE, data: picture.base64 } };
}
