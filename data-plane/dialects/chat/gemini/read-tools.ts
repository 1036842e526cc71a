import { z } from 'zod';
import type { ChatTool, ToolChoice } from '../chat.js';
import { convertGoogleSchema } from './convert-schema.js';
import { list, message, onlyWhere, refuse } from './proto-json.js';

/** https://ai.google.dev/api/caching#FunctionDeclaration */
const functionSchema = message({
  name: z.string(),
  description: z.string().optional(),
  parameters: z.unknown().optional(),
  parametersJsonSchema: z.unknown().optional(),
}).transform((declared, context): ChatTool => {
  if (declared.parameters !== undefined && declared.parametersJsonSchema !== undefined) {
    refuse(context, ['parametersJsonSchema'], 'The field "{field}" cannot be given together with "parameters".');
  }
  const parameters = declared.parametersJsonSchema ?? convertGoogleSchema(declared.parameters);
  return {
    name: declared.name,
    ...(declared.description !== undefined && { description: declared.description }),
    ...(parameters !== undefined && { parameters }),
  };
});

/** Functions only: the tools that Google itself runs (search, code, maps, …) are fields that this schema does not know. */
export const toolsSchema = list(message({ functionDeclarations: list(functionSchema).default([]) })).transform(
  (tools) => tools.flatMap((tool) => tool.functionDeclarations),
);

/** https://ai.google.dev/api/caching#FunctionCallingConfig */
export const toolConfigSchema = message({
  functionCallingConfig: message({
    mode: z.enum(['MODE_UNSPECIFIED', 'AUTO', 'ANY', 'NONE', 'VALIDATED']).optional(),
    allowedFunctionNames: list(z.string()).optional(),
    streamFunctionCallArguments: onlyWhere((value) => value === undefined || value === false),
  }).optional(),
  includeServerSideToolInvocations: onlyWhere((value) => value === undefined || value === false),
});

interface ToolRules {
  readonly tools: readonly ChatTool[];
  readonly toolChoice?: ToolChoice;
}

const PATH = ['toolConfig', 'functionCallingConfig', 'allowedFunctionNames'];

/**
 * Who may be called. A single allowed name is a choice of that tool; several are all the tools there are, for no other
 * dialect can name a set. `VALIDATED` is the free choice with arguments that keep to their schema: strict tools.
 */
export function readToolRules(
  declared: readonly ChatTool[],
  config: z.output<typeof toolConfigSchema> | undefined,
  context: z.RefinementCtx,
): ToolRules {
  const { mode, allowedFunctionNames: allowed = [] } = config?.functionCallingConfig ?? {};
  if (allowed.length > 0 && mode !== 'ANY' && mode !== 'VALIDATED') {
    refuse(context, PATH, 'The field "{field}" can be given with the modes ANY and VALIDATED only.');
  }
  if (allowed.some((name) => !declared.some((tool) => tool.name === name))) {
    refuse(context, PATH, 'The field "{field}" names a function that is not declared.');
  }
  const allowedTools = allowed.length === 0 ? declared : declared.filter((tool) => allowed.includes(tool.name));
  const [only] = allowed;
  switch (mode) {
    case 'AUTO':
    case 'MODE_UNSPECIFIED':
      return { tools: declared, toolChoice: { kind: 'auto' } };
    case 'NONE':
      return { tools: declared, toolChoice: { kind: 'none' } };
    case 'VALIDATED':
      return { tools: allowedTools.map((tool) => ({ ...tool, strict: true })), toolChoice: { kind: 'auto' } };
    case 'ANY':
      return only !== undefined && allowed.length === 1
        ? { tools: declared, toolChoice: { kind: 'tool', name: only } }
        : { tools: allowedTools, toolChoice: { kind: 'required' } };
    case undefined:
      return { tools: declared };
  }
}
