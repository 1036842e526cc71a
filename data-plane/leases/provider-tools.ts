import type { UsageEvent } from '@pingtoken/shared/usage-event';
import type { Fields } from './request-reach.js';

/** Tools that the provider runs by itself, within the call: their results are prompt too, and each run may have its price. */
export interface ProviderTools {
  /** How often they run at most, and how often they search the web; undefined where that is not bounded. */
  readonly bound: { readonly runs: number; readonly searches: number } | undefined;
  /** The first field that asks for something without a bound. */
  readonly unboundedField: string | undefined;
  /** Whether anything may be searched for at all. */
  readonly searches: boolean;
}

/** @returns undefined where all tools are the caller's own */
export function providerToolsOf(fields: Fields, operation: UsageEvent['operation']): ProviderTools | undefined {
  const found = [...toolsOf(fields), ...switchesOf(fields)];
  if (found.length === 0) return undefined;
  const total = operation === 'responses' ? countOf(fields['max_tool_calls']) : undefined;
  const unbounded = found.find((each) => each.maxRuns === undefined && (total === undefined || !each.isCounted));
  const searches = found.some(({ isSearch }) => isSearch);
  if (unbounded !== undefined) return { bound: undefined, unboundedField: unbounded.field, searches };
  const ownRuns = sum(found.map(({ maxRuns = 0 }) => maxRuns));
  const ownSearches = sum(found.map(({ isSearch, maxRuns = 0 }) => (isSearch ? maxRuns : 0)));
  const bound = { runs: total ?? ownRuns, searches: searches ? (total ?? ownSearches) : 0 };
  return { bound, unboundedField: undefined, searches };
}

/** Whether tools that a vendor has defined, though the caller runs them, add to the prompt what is not in the request. */
export function hasVendorTools(fields: Fields): boolean {
  return listOf(fields['tools']).some((tool) => isCallerRun(tool));
}

interface FoundTool {
  readonly field: string;
  /** By its own bound. */
  readonly maxRuns: number | undefined;
  /** Whether `max_tool_calls` counts it: it counts the vendor's own tools. */
  readonly isCounted: boolean;
  readonly isSearch: boolean;
}

function toolsOf(fields: Fields): FoundTool[] {
  return listOf(fields['tools']).flatMap((tool, index) => {
    if (!isObject(tool) || isOwn(tool) || isCallerRun(tool)) return [];
    const { type } = tool;
    return {
      field: `tools[${index}]`,
      maxRuns: countOf(tool['max_uses']),
      isCounted: type !== 'mcp',
      isSearch:
        type === undefined || (typeof type === 'string' && /search(?!_tool)/.test(type) && type !== 'file_search'),
    };
  });
}

/**
 * Top-level members that let the provider run something: OpenAI's search, Anthropic's connectors, xAI's live search,
 * OpenRouter's plugins and Qwen's search.
 */
function switchesOf(fields: Fields): FoundTool[] {
  const { web_search_options, search_parameters, mcp_servers, plugins, enable_search } = fields;
  const on = {
    web_search_options: web_search_options != null,
    search_parameters: isObject(search_parameters) ? search_parameters['mode'] !== 'off' : search_parameters != null,
    mcp_servers: listOf(mcp_servers).length > 0,
    plugins: listOf(plugins).length > 0,
    enable_search: enable_search != null && enable_search !== false,
  };
  return Object.entries(on).flatMap(([field, isOn]) =>
    isOn ? { field, maxRuns: undefined, isCounted: false, isSearch: field !== 'mcp_servers' } : [],
  );
}

const OWN_TYPES: ReadonlySet<unknown> = new Set(['function', 'custom']);
const GOOGLE_OWN: ReadonlySet<string> = new Set(['functionDeclarations', 'function_declarations']);
const GOOGLE_CALLER_RUN: ReadonlySet<string> = new Set(['computerUse', 'computer_use']);
/** What the members of a typeless tool of Anthropic's are called. */
const ANTHROPIC_OWN: ReadonlySet<string> = new Set([
  ...['name', 'description', 'input_schema', 'cache_control', 'strict', 'input_examples'],
  ...['allowed_callers', 'defer_loading', 'eager_input_streaming'],
]);

/** A function that the caller declares. Gemini's tools go without a type, several in one object. */
function isOwn(tool: Fields): boolean {
  const { type } = tool;
  if (type !== undefined && type !== null) return OWN_TYPES.has(type);
  return Object.keys(tool).every(
    (name) => ANTHROPIC_OWN.has(name) || GOOGLE_OWN.has(name) || GOOGLE_CALLER_RUN.has(name) || name === 'type',
  );
}

/**
 * Whose calls the caller answers by itself, as it does a function's.
 * https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview, https://platform.openai.com/docs/guides/tools
 */
function isCallerRun(tool: unknown): boolean {
  if (!isObject(tool)) return false;
  const { type } = tool;
  if (typeof type !== 'string') return Object.keys(tool).some((name) => GOOGLE_CALLER_RUN.has(name)) && isOwn(tool);
  if (/^(?:bash|text_editor|computer|memory)_\d{8}$/.test(type)) return true;
  if (type === 'shell') return isObject(tool['environment']) && tool['environment']['type'] === 'local';
  return ['computer_use_preview', 'computer', 'local_shell', 'apply_patch'].includes(type);
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_RUNS
    ? value
    : undefined;
}

/** More is no bound that anybody could pay for. */
const MAX_RUNS = 1_000;

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
