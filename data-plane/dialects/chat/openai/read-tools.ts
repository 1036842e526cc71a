import { isObject } from '../json.js';
import type { ChatRequest, ChatTool, ToolChoice } from '../chat.js';
import type { Fields } from './fields.js';

/** https://platform.openai.com/docs/guides/function-calling */
export function readTools(request: Fields): Pick<ChatRequest, 'tools' | 'toolChoice' | 'parallelToolCalls'> {
  const tools = (request.list('tools') ?? []).flatMap(readTool);
  const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;
  request.refuseUnless('functions', isEmptyList, 'Give functions as "tools".');
  request.refuseUnless('function_call', () => false, 'Say which function to call with "tool_choice".');
  const parallelToolCalls = request.boolean('parallel_tool_calls');
  const choice = readToolChoice(request);
  const allowed = choice.allowed;
  return {
    // To allow some of the tools only is to offer no others.
    tools: allowed === undefined ? tools : tools.filter((tool) => allowed.has(tool.name)),
    ...(choice.toolChoice === undefined ? {} : { toolChoice: choice.toolChoice }),
    ...(parallelToolCalls === undefined ? {} : { parallelToolCalls }),
  };
}

function readTool(tool: Fields): ChatTool[] {
  const type = tool.any('type');
  if (type !== 'function') {
    const message = `"${tool.pathOf('type')}" must be function: the provider that serves this model has no other tools.`;
    if (type === 'custom') tool.leaveOut('type', message);
    else tool.refuse('type', message);
    return [];
  }
  const details = tool.nested('function');
  if (details === undefined) tool.refuse('function', `"${tool.pathOf('function')}" must be given.`);
  const name = details?.requiredString('name') ?? '';
  const description = details?.string('description');
  const strict = details?.boolean('strict');
  const parameters = details?.any('parameters');
  if (parameters !== undefined && !isObject(parameters)) {
    details?.refuse('parameters', `"${details.pathOf('parameters')}" must be a JSON Schema object.`);
  }
  details?.finish();
  tool.finish();
  return [
    {
      name,
      ...(description === undefined ? {} : { description }),
      ...(parameters === undefined ? {} : { parameters }),
      ...(strict === undefined ? {} : { strict }),
    },
  ];
}

interface ReadToolChoice {
  readonly toolChoice?: ToolChoice;
  readonly allowed?: ReadonlySet<string>;
}

function readToolChoice(request: Fields): ReadToolChoice {
  const value = request.any('tool_choice');
  if (value === undefined) return {};
  if (value === 'auto' || value === 'none' || value === 'required') return { toolChoice: { kind: value } };
  const choice = isObject(value) ? request.nested('tool_choice') : undefined;
  switch (choice?.oneOf('type', ['function', 'allowed_tools', 'custom'])) {
    case 'function': {
      const name = readFunctionName(choice);
      choice.finish();
      return { toolChoice: { kind: 'tool', name } };
    }
    case 'allowed_tools': {
      const allowedTools = choice.nested('allowed_tools');
      const kind = allowedTools?.oneOf('mode', ['auto', 'required']) ?? 'auto';
      const allowed = new Set(allowedTools?.list('tools')?.map(readAllowedTool));
      allowedTools?.finish();
      choice.finish();
      return { toolChoice: { kind }, allowed };
    }
    case 'custom':
      choice.leaveOut('type', '"tool_choice.type" must be function: the provider has no other tools.');
      return {};
    case undefined:
      request.refuse('tool_choice', '"tool_choice" must be auto, none, required, or name a function.');
      return {};
  }
}

function readAllowedTool(tool: Fields): string {
  tool.oneOf('type', ['function']);
  const name = readFunctionName(tool);
  tool.finish();
  return name;
}

function readFunctionName(owner: Fields | undefined): string {
  const named = owner?.nested('function');
  if (named === undefined) owner?.refuse('function', `"${owner.pathOf('function')}" must name a function.`);
  const name = named?.requiredString('name') ?? '';
  named?.finish();
  return name;
}
