import { z } from 'zod';
import type { AssistantPart, ChatMessage, MediaPart, TextPart, ToolResultPart, UserMessage } from '../chat.js';
import { stringifyExactly } from '../json.js';
import { joinPieces, joinTurns } from './pieces.js';
import { readModelPart } from './parts.js';
import { freeObject, list, message, refuse } from './proto-json.js';

/** https://ai.google.dev/api/caching#Part */
const partSchema = message({
  text: z.string().optional(),
  thought: z.boolean().optional(),
  thoughtSignature: z.string().optional(),
  inlineData: message({ mimeType: z.string(), data: z.string(), displayName: z.string().optional() }).optional(),
  fileData: message({
    mimeType: z.string().optional(),
    fileUri: z.string(),
    displayName: z.string().optional(),
  }).optional(),
  mediaResolution: message({ level: z.string().optional() }).optional(),
  functionCall: message({ id: z.string().optional(), name: z.string(), args: freeObject.optional() }).optional(),
  functionResponse: message({
    id: z.string().optional(),
    name: z.string(),
    response: freeObject.optional(),
    parts: list(
      message({ inlineData: message({ mimeType: z.string(), data: z.string(), displayName: z.string().optional() }) }),
    ).optional(),
  }).optional(),
}).superRefine((part, context) => {
  const given = DATA.filter((field) => part[field] !== undefined);
  if (given.length > 1) refuse(context, [], `The part "{field}" holds ${given.join(' and ')}; it can hold one only.`);
  if (given.length === 0 && part.thoughtSignature === undefined) refuse(context, [], 'The part "{field}" is empty.');
});
type Part = z.output<typeof partSchema>;
type Refuse = (field: string, sentence?: string) => void;

/** What a part holds is one of these. */
const DATA = ['text', 'inlineData', 'fileData', 'functionCall', 'functionResponse'] as const;

/** The instruction for the whole conversation: text, whatever role it is given. */
export const systemInstructionSchema = message({ role: z.string().optional(), parts: list(partSchema) }).transform(
  ({ parts }, context): TextPart[] =>
    parts.flatMap((part, index) => {
      const foreign = [...DATA.slice(1), 'thought' as const, 'thoughtSignature' as const].find(
        (field) => part[field] !== undefined,
      );
      if (foreign !== undefined) refuse(context, ['parts', index, foreign]);
      return readText(part);
    }),
);

/** https://ai.google.dev/api/caching#Content */
const contentSchema = message({
  // "function" is the role that results of functions had in the API's first version.
  role: z.enum(['user', 'model', 'function']).default('user'),
  parts: list(partSchema).default([]),
});

/** The conversation. Calls and their results are brought together here: see {@link takeCall}. */
export const contentsSchema = list(contentSchema).transform((contents, context): ChatMessage[] => {
  if (contents.length === 0) refuse(context, [], 'The field "{field}" must not be empty.');
  const open: OpenCalls = new Map();
  const turns = contents.map(({ role, parts }, position): ChatMessage => {
    const refuseAt = (index: number): Refuse => {
      return (field, sentence) => {
        refuse(context, [position, 'parts', index, field], sentence);
      };
    };
    return role === 'model'
      ? { role: 'assistant', content: readModelTurn(parts, position, open, refuseAt) }
      : { role: 'user', content: parts.flatMap((part, index) => readUserPart(part, open, refuseAt(index))) };
  });
  return joinTurns(turns).map((turn) =>
    turn.role === 'assistant' ? { ...turn, content: joinPieces(turn.content) } : turn,
  );
});

/** Ids, by the name of the function, of the calls that no result has been given for yet, in their order. */
type OpenCalls = Map<string, Set<string>>;

function readModelTurn(
  parts: readonly Part[],
  position: number,
  open: OpenCalls,
  refuseAt: (index: number) => Refuse,
): AssistantPart[] {
  const content = parts.flatMap((part, index) => {
    const foreign = (['inlineData', 'fileData', 'functionResponse'] as const).find(
      (field) => part[field] !== undefined,
    );
    if (foreign !== undefined) refuseAt(index)(foreign);
    return readModelPart(part, `call_${position}_${index}`);
  });
  for (const part of content) {
    if (part.kind !== 'tool-call') continue;
    const ids = open.get(part.name);
    if (ids === undefined) open.set(part.name, new Set([part.id]));
    else ids.add(part.id);
  }
  return content;
}

function readUserPart(part: Part, open: OpenCalls, refusePart: Refuse): UserMessage['content'] {
  const foreign = (['functionCall', 'thought', 'thoughtSignature'] as const).find((field) => part[field] !== undefined);
  if (foreign !== undefined) refusePart(foreign);
  const detail = readDetail(part.mediaResolution?.level, () => {
    refusePart('mediaResolution');
  });
  const shared = detail === undefined ? {} : { detail };
  if (part.inlineData !== undefined) return [{ ...readInlineData(part.inlineData), ...shared }];
  if (part.fileData !== undefined) return [{ ...readFile(part.fileData, refusePart), ...shared }];
  if (part.functionResponse !== undefined) return [readResult(part.functionResponse, open, refusePart)];
  return readText(part);
}

/** @returns how closely the caller wants an image looked at; undefined leaves it to the model */
export function readDetail(
  resolution: string | undefined,
  refuseIt: () => void,
): NonNullable<MediaPart['detail']> | undefined {
  switch (resolution) {
    case undefined:
    case 'MEDIA_RESOLUTION_UNSPECIFIED':
      return undefined;
    case 'MEDIA_RESOLUTION_LOW':
      return 'low';
    case 'MEDIA_RESOLUTION_HIGH':
      return 'high';
    default:
      refuseIt();
      return undefined;
  }
}

/** Text without a letter says nothing, and other vendors refuse it. */
function readText(part: Part): TextPart[] {
  return part.text === undefined || part.text === '' ? [] : [{ kind: 'text', text: part.text }];
}

function readInlineData(blob: NonNullable<Part['inlineData']>): MediaPart {
  return {
    kind: 'media',
    mediaType: blob.mimeType,
    source: { kind: 'base64', data: blob.data },
    ...(blob.displayName !== undefined && { fileName: blob.displayName }),
  };
}

/** Files that lie with Google, in its Files API or its storage, can be fetched by nobody else. */
function readFile(file: NonNullable<Part['fileData']>, refusePart: Refuse): MediaPart {
  const isPublic = /^https?:\/\//i.test(file.fileUri);
  if (!isPublic || file.fileUri.includes('//generativelanguage.googleapis.com/')) refusePart('fileData');
  return {
    kind: 'media',
    mediaType: file.mimeType,
    source: { kind: 'url', url: file.fileUri },
    ...(file.displayName !== undefined && { fileName: file.displayName }),
  };
}

function readResult(
  result: NonNullable<Part['functionResponse']>,
  open: OpenCalls,
  refusePart: Refuse,
): ToolResultPart {
  const callId = takeCall(open, result.id, result.name);
  if (callId === undefined) refusePart('functionResponse', 'The field "{field}" answers no function call before it.');
  const { text, isError } = readResponse(result.response);
  const media = (result.parts ?? []).map((part) => readInlineData(part.inlineData));
  return {
    kind: 'tool-result',
    callId: callId ?? '',
    toolName: result.name,
    content: [...(text === '' ? [] : [{ kind: 'text' as const, text }]), ...media],
    ...(isError && { isError }),
  };
}

/** The call that a result answers: that of its id or, as Gemini made no ids for long, the first of its name. */
function takeCall(open: OpenCalls, id: string | undefined, name: string): string | undefined {
  const ids = open.get(name);
  const callId = id !== undefined && ids?.has(id) === true ? id : ids?.values().next().value;
  if (callId !== undefined) ids?.delete(callId);
  return callId;
}

/** "output" and "error" alone are Google's own wrappings of a result. https://ai.google.dev/api/caching#FunctionResponse */
function readResponse(response: Readonly<Record<string, unknown>> = {}): { text: string; isError: boolean } {
  const [key, ...others] = Object.keys(response);
  if (key === undefined) return { text: '', isError: false };
  const isWrapped = others.length === 0 && (key === 'output' || key === 'error');
  const value = isWrapped ? response[key] : response;
  return { text: typeof value === 'string' ? value : stringifyExactly(value), isError: isWrapped && key === 'error' };
}
