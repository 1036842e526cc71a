import type { AssistantPart, ReasoningPart, ToolCallPart } from '../chat.js';
import { isObject, parseJsonExactly, stringifyExactly } from '../json.js';

/** What of a `Part` a model's turn is made of. https://ai.google.dev/api/caching#Part */
export interface ModelPart {
  readonly text?: string | undefined;
  readonly thought?: boolean | undefined;
  readonly thoughtSignature?: string | undefined;
  readonly functionCall?:
    | {
        readonly id?: string | undefined;
        readonly name: string;
        readonly args?: Readonly<Record<string, unknown>> | undefined;
      }
    | undefined;
}

/**
 * Google's own placeholder for a signature that was never made: a call of another vendor's model would be refused by
 * Gemini 3 without it. https://ai.google.dev/gemini-api/docs/thought-signatures
 */
export const NO_SIGNATURE = 'skip_thought_signature_validator';

/**
 * Another vendor's redacted thinking travels through a Gemini caller's history as a signature: the field is base64, and
 * nine marking bytes at its front stay twelve letters of it.
 */
const REDACTED_MARK = Buffer.from('redacted:').toString('base64');

/**
 * A part of an answer, by plain guards: streams have thousands. What a model drew or spoke has no place in a chat answer
 * elsewhere; so that nothing that was paid for is lost, it is given as a link of Markdown that holds it.
 * @returns undefined for what is no part, or of a kind that only Google's own tools produce
 */
export function parseModelPart(value: unknown): ModelPart | undefined {
  if (!isObject(value)) return undefined;
  const { text, thought, thoughtSignature, functionCall, inlineData } = value;
  const signature = typeof thoughtSignature === 'string' && thoughtSignature !== '' ? { thoughtSignature } : {};
  if (isObject(functionCall)) {
    const { id, name, args } = functionCall;
    if (typeof name !== 'string') return undefined;
    const call = { id: typeof id === 'string' ? id : undefined, name, args: isObject(args) ? args : undefined };
    return { functionCall: call, ...signature };
  }
  if (isObject(inlineData)) {
    const { mimeType, data } = inlineData;
    if (typeof mimeType !== 'string' || typeof data !== 'string') return undefined;
    const link = `[${mimeType}](data:${mimeType};base64,${data})`;
    return { text: mimeType.startsWith('image/') ? `!${link}` : link, ...signature };
  }
  return { text: typeof text === 'string' ? text : '', thought: thought === true, ...signature };
}

/**
 * One part of a model's turn. A signature behind plain text has no place there in the neutral form: it becomes a thought of
 * its own without words, which is also how Gemini streams it.
 */
export function readModelPart(part: ModelPart, callId: string): AssistantPart[] {
  const signature = part.thoughtSignature === NO_SIGNATURE ? undefined : part.thoughtSignature;
  if (part.functionCall !== undefined) return [readCall(part.functionCall, signature, callId)];
  const text = part.text ?? '';
  if (signature?.startsWith(REDACTED_MARK) === true) {
    return [...readText(text, part.thought), { kind: 'reasoning', text: '', redacted: readRedacted(signature) }];
  }
  if (part.thought === true) return readThought(text, signature);
  return [...readText(text, false), ...readThought('', signature)];
}

/** @returns undefined where Gemini has nothing to say of the part, or cannot: a call's arguments that are no JSON object */
export function writeModelPart(part: AssistantPart): ModelPart | undefined {
  switch (part.kind) {
    case 'text':
    case 'refusal':
      return part.text === '' ? undefined : { text: part.text };
    case 'reasoning':
      return writeThought(part);
    case 'tool-call': {
      const args = readArguments(part.argumentsJson);
      return args && writeCall(part, args);
    }
  }
}

export function writeCall(call: ToolCallPart, args: Readonly<Record<string, unknown>>): ModelPart {
  return {
    functionCall: { id: call.id, name: call.name, args },
    ...(call.signature !== undefined && { thoughtSignature: call.signature }),
  };
}

/** @returns undefined when the text is not that of a JSON object; no text at all says that there are no arguments */
export function readArguments(json: string): Readonly<Record<string, unknown>> | undefined {
  if (json.trim() === '') return {};
  try {
    const value = parseJsonExactly(json);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The id of a call that came without one, the same for the whole answer and for its stream. Only letters that every vendor
 * takes, and at most 40 of them.
 */
export function makeCallId(answerId: string, choice: number, index: number): string {
  return `call_${answerId.replaceAll(/[^A-Za-z0-9_-]/g, '').slice(0, 27)}_${choice}_${index}`;
}

function readCall(
  call: NonNullable<ModelPart['functionCall']>,
  signature: string | undefined,
  callId: string,
): ToolCallPart {
  return {
    kind: 'tool-call',
    id: call.id === undefined || call.id === '' ? callId : call.id,
    name: call.name,
    argumentsJson: stringifyExactly(call.args ?? {}),
    ...(signature !== undefined && { signature }),
  };
}

function readText(text: string, isThought: boolean | undefined): AssistantPart[] {
  return text === '' ? [] : [{ kind: isThought === true ? 'reasoning' : 'text', text }];
}

function readThought(text: string, signature: string | undefined): AssistantPart[] {
  if (text === '' && signature === undefined) return [];
  return [{ kind: 'reasoning', text, ...(signature !== undefined && { signature }) }];
}

function readRedacted(signature: string): string {
  return Buffer.from(signature.slice(REDACTED_MARK.length), 'base64').toString();
}

function writeThought(part: ReasoningPart): ModelPart | undefined {
  if (part.redacted !== undefined) {
    return { text: '', thoughtSignature: REDACTED_MARK + Buffer.from(part.redacted).toString('base64') };
  }
  const signature = part.signature === undefined ? {} : { thoughtSignature: part.signature };
  if (part.text !== '') return { text: part.text, thought: true, ...signature };
  return part.signature === undefined ? undefined : { text: '', ...signature };
}
