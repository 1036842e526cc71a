import type { ChatMessage, ChatRequest, MediaPart, ToolResultPart, UserMessage } from '../chat.js';
import { parseJsonExactly, isObject, stringifyExactly } from '../json.js';
import { isGemini3 } from './generations.js';
import { NO_SIGNATURE, readArguments, writeCall, writeModelPart } from './parts.js';
import { joinTurns } from './pieces.js';
import { isFetchable, isResultMedia } from './unsupported.js';

interface Content {
  readonly role?: 'user' | 'model';
  readonly parts: readonly unknown[];
}

/**
 * The conversation and its instructions. Gemini refuses a call without a turn, so instructions alone are said by the user.
 * @param sharedDetail how closely to look at every image, where it is said for all at once
 */
export function writeConversation(
  request: ChatRequest,
  upstreamModel: string,
  sharedDetail: MediaPart['detail'],
): { readonly contents: readonly Content[]; readonly systemInstruction?: Content } {
  const system = request.system.filter(({ text }) => text !== '').map(({ text }) => ({ text }));
  const contents = joinTurns(request.messages)
    .map((message) => writeTurn(message, upstreamModel, sharedDetail))
    .filter(({ parts }) => parts.length > 0);
  if (contents.length === 0) return { contents: [{ role: 'user', parts: system }] };
  return { contents, ...(system.length > 0 && { systemInstruction: { parts: system } }) };
}

/** @returns the detail that every media part of the request asks for; undefined where they differ or ask for none */
export function findSharedDetail(messages: readonly ChatMessage[]): MediaPart['detail'] {
  const media = messages.flatMap((message) =>
    message.role === 'user' ? message.content.filter((part) => part.kind === 'media') : [],
  );
  const details = new Set(media.map((part) => part.detail));
  return details.size === 1 ? media[0]?.detail : undefined;
}

/** `auto` leaves it to the model, as saying nothing does. */
export function writeResolution(detail: MediaPart['detail']): string | undefined {
  if (detail === undefined || detail === 'auto') return undefined;
  return detail === 'low' ? 'MEDIA_RESOLUTION_LOW' : 'MEDIA_RESOLUTION_HIGH';
}

function writeTurn(message: ChatMessage, upstreamModel: string, sharedDetail: MediaPart['detail']): Content {
  return message.role === 'assistant'
    ? { role: 'model', parts: writeModelTurn(message.content, upstreamModel) }
    : { role: 'user', parts: message.content.flatMap((part) => writeUserPart(part, upstreamModel, sharedDetail)) };
}

/**
 * Gemini 3 wants a signature on the first call of a turn, also where another vendor's model made it. A thought that another
 * vendor encrypted is left out: nobody but that vendor can read it.
 */
function writeModelTurn(
  content: Extract<ChatMessage, { role: 'assistant' }>['content'],
  upstreamModel: string,
): unknown[] {
  const firstCall = content.find((part) => part.kind === 'tool-call');
  return content.flatMap((part): unknown[] => {
    if (part.kind === 'reasoning' && part.redacted !== undefined) return [];
    if (part.kind !== 'tool-call') return [writeModelPart(part)].filter((written) => written !== undefined);
    const isUnsigned = part === firstCall && part.signature === undefined && isGemini3(upstreamModel);
    const call = isUnsigned ? { ...part, signature: NO_SIGNATURE } : part;
    // What a model said that is no JSON it is shown under a name that says so.
    return [writeCall(call, readArguments(part.argumentsJson) ?? { INVALID_JSON: part.argumentsJson })];
  });
}

function writeUserPart(
  part: UserMessage['content'][number],
  upstreamModel: string,
  sharedDetail: MediaPart['detail'],
): unknown[] {
  switch (part.kind) {
    case 'text':
      return part.text === '' ? [] : [{ text: part.text }];
    case 'media':
      return writeMedia(part, sharedDetail);
    case 'tool-result':
      return [writeResult(part, upstreamModel)];
  }
}

/** Names of files have no field in the Gemini API (`displayName` is Vertex AI's). */
function writeMedia(part: MediaPart, sharedDetail: MediaPart['detail']): unknown[] {
  const level = part.detail === sharedDetail ? undefined : writeResolution(part.detail);
  const mediaResolution = level === undefined ? {} : { mediaResolution: { level } };
  const { source } = part;
  if (source.kind === 'base64') {
    if (part.mediaType === undefined) return [];
    return [{ inlineData: { mimeType: part.mediaType, data: source.data }, ...mediaResolution }];
  }
  if (!isFetchable(source.url)) return [];
  const mimeType = part.mediaType ?? guessMediaType(source.url);
  return [{ fileData: { ...(mimeType !== undefined && { mimeType }), fileUri: source.url }, ...mediaResolution }];
}

/** OpenAI's callers give addresses without a type, and Gemini would have one. */
function guessMediaType(url: string): string | undefined {
  const extension = /\.([a-z0-9]+)(?:[?#]|$)/i.exec(url.replace(/^[a-z]+:\/\/[^/]*/i, ''))?.[1]?.toLowerCase();
  return extension === undefined ? undefined : MEDIA_TYPES[extension];
}

const MEDIA_TYPES: Readonly<Partial<Record<string, string>>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
  gif: 'image/gif',
  heic: 'image/heic',
  heif: 'image/heif',
  pdf: 'application/pdf',
  txt: 'text/plain',
  mp3: 'audio/mp3',
  wav: 'audio/wav',
  mp4: 'video/mp4',
};

function writeResult(result: ToolResultPart, upstreamModel: string): unknown {
  const text = result.content.flatMap((part) => (part.kind === 'text' ? [part.text] : [])).join('\n');
  const media = result.content.flatMap((part) =>
    part.kind === 'media' && isResultMedia(part, upstreamModel) ? writeMedia({ ...part }, part.detail) : [],
  );
  return {
    functionResponse: {
      id: result.callId,
      name: result.toolName,
      response: result.isError === true ? { error: text } : (readStructure(text) ?? { output: text }),
      ...(media.length > 0 && { parts: media }),
    },
  };
}

/** A result that is a JSON object goes as one, where it cannot be taken for one of Google's wrappings. */
function readStructure(text: string): Readonly<Record<string, unknown>> | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const value = parseJsonExactly(text);
    if (!isObject(value) || stringifyExactly(value) !== text) return undefined;
    const keys = Object.keys(value);
    return keys.length === 0 || keys.includes('output') || keys.includes('error') ? undefined : value;
  } catch {
    return undefined;
  }
}
