import { parseJson } from '@pingtoken/shared/wire';
import { isObject } from '../json.js';
import type {
  AssistantPart,
  ChatMessage,
  ChatRequest,
  ReasoningPart,
  TextPart,
  ToolCallPart,
  ToolResultPart,
} from '../chat.js';
import type { Fields } from './fields.js';
import { readCacheMark, readContent, readParts, readTexts } from './read-content.js';
import { readContentList, readReasoning } from './reasoning.js';
import { readThoughtSignature } from './thought-signature.js';

/**
 * System and developer messages may stand anywhere; other vendors have one place for them, before the conversation.
 * https://platform.openai.com/docs/api-reference/chat/create
 */
export function readMessages(request: Fields): Pick<ChatRequest, 'system' | 'messages'> {
  const system: TextPart[] = [];
  const messages: ChatMessage[] = [];
  const toolNames = new Map<string, string>();
  const list = request.list('messages');
  if (list === undefined) request.refuse('messages', '"messages" must be a list of messages.');
  for (const message of list ?? []) {
    const role = message.oneOf('role', ['system', 'developer', 'user', 'assistant', 'tool']);
    switch (role) {
      case 'system':
      case 'developer':
        system.push(...readTexts(message));
        break;
      case 'user':
        messages.push({ role, content: readParts(message) });
        break;
      case 'assistant':
        messages.push({ role, content: readAssistant(message, toolNames) });
        break;
      case 'tool':
        appendToolResult(messages, readToolResult(message, toolNames));
        break;
      case undefined:
        message.refuse('role', `"${message.pathOf('role')}" must be given.`);
    }
    message.leaveOutUnless(
      'name',
      () => role === 'tool',
      'The provider that serves this model knows no names of speakers.',
    );
    if (role !== undefined) message.finish();
  }
  return { system, messages };
}

function readAssistant(message: Fields, toolNames: Map<string, string>): AssistantPart[] {
  const parts: AssistantPart[] = readReasoning({
    reasoning_content: message.any('reasoning_content'),
    reasoning: message.any('reasoning'),
    reasoning_details: message.any('reasoning_details'),
  });
  for (const item of readContent(message)) parts.push(...readAssistantItem(item));
  const refusal = message.string('refusal');
  if (refusal !== undefined && refusal !== '') parts.push({ kind: 'refusal', text: refusal });
  for (const call of message.list('tool_calls') ?? []) {
    const part = readToolCall(call);
    toolNames.set(part.id, part.name);
    parts.push(part);
  }
  message.leaveOutUnless(
    'audio',
    () => false,
    'A spoken answer cannot be given back to the provider that serves this model.',
  );
  message.refuseUnless('function_call', () => false, 'Give the calls of functions as "tool_calls".');
  // Clients give an answer's message back as they got it, with what only describes the answer.
  message.passOver('annotations', 'parsed');
  return parts;
}

function readAssistantItem(item: string | Fields): AssistantPart[] {
  if (typeof item === 'string') return [{ kind: 'text', text: item }];
  const type = item.oneOf('type', ['text', 'refusal', 'thinking']);
  switch (type) {
    case 'text':
    case 'refusal': {
      const text = item.string(type) ?? '';
      const cache = type === 'text' ? readCacheMark(item) : {};
      item.finish();
      return text === '' ? [] : [{ kind: type, text, ...cache }];
    }
    case 'thinking': {
      item.passOver('closed');
      const parts: (TextPart | ReasoningPart)[] = readContentList([{ type, thinking: item.any('thinking') }]);
      item.finish();
      return parts;
    }
    case undefined:
      item.refuse('type', `"${item.pathOf('type')}" must be given.`);
      return [];
  }
}

function readToolCall(call: Fields): ToolCallPart {
  call.oneOf('type', ['function']);
  const id = call.requiredString('id');
  const details = call.nested('function');
  if (details === undefined) call.refuse('function', `"${call.pathOf('function')}" must be given.`);
  const name = details?.requiredString('name') ?? '';
  const argumentsJson = details?.string('arguments') ?? '';
  if (argumentsJson !== '' && !isJsonObject(argumentsJson)) {
    details?.refuse('arguments', `"${details.pathOf('arguments')}" must be the JSON text of an object.`);
  }
  details?.passOver('parsed_arguments');
  details?.finish();
  const signature = readThoughtSignature(call.any('extra_content'));
  call.passOver('index');
  call.finish();
  return {
    kind: 'tool-call',
    id,
    name,
    argumentsJson: argumentsJson === '' ? '{}' : argumentsJson,
    ...(signature === undefined ? {} : { signature }),
  };
}

function isJsonObject(text: string): boolean {
  try {
    return isObject(parseJson(text));
  } catch {
    return false;
  }
}

function readToolResult(message: Fields, toolNames: ReadonlyMap<string, string>): ToolResultPart {
  const callId = message.requiredString('tool_call_id');
  const toolName = toolNames.get(callId);
  if (toolName === undefined) {
    message.refuse('tool_call_id', `"${message.pathOf('tool_call_id')}" names no tool call of a message before it.`);
  }
  const content = readParts(message);
  return { kind: 'tool-result', callId, toolName: toolName ?? '', content };
}

/** The results of parallel calls are one turn, as they are in the dialects that have turns. */
function appendToolResult(messages: ChatMessage[], result: ToolResultPart): void {
  const last = messages.at(-1);
  const isTurnOfResults =
    last?.role === 'user' && last.content.length > 0 && last.content.every((part) => part.kind === 'tool-result');
  if (isTurnOfResults) messages[messages.length - 1] = { role: 'user', content: [...last.content, result] };
  else messages.push({ role: 'user', content: [result] });
}
