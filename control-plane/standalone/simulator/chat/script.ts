import { hash, wordAt } from '../words.js';
import { schemaInstance } from './schema-instance.js';
import { lastUserText, type ChatTask, type Media, type ToolOffer, type Turn } from './task.js';

/** What is said where a request asks for more than words. Each piece is one token. */
export type Script =
  | { readonly kind: 'text' | 'echo' | 'refusal'; readonly pieces: readonly string[] }
  | { readonly kind: 'calls'; readonly calls: readonly ScriptedCall[] };

export interface ScriptedCall {
  readonly name: string;
  readonly pieces: readonly string[];
}

/**
 * Chooses by the request alone, the first that fits:
 *
 * - the last user text contains `refuse`: a refusal;
 * - tools are offered, not forbidden, and demanded by the tool choice, or by the last user text and not answered yet:
 *   `use tool <name>` calls that one, `use both tools` and `use all tools` call all (one where parallel calls are
 *   forbidden), `call the tool` the first with fixed arguments. Arguments are made from the tool's schema;
 * - the conversation ends with results of tools: they are quoted, those of tools that failed as such;
 * - `echo parameters`: one line of JSON with everything that was understood, which no stop sequence ends, as it names them;
 * - a JSON schema: an instance of it;
 * - images or other media in the last user turn: their media types and lengths in bytes, or their URLs.
 */
export function chooseScript(task: ChatTask, refuses: boolean): Script | undefined {
  const text = lastUserText(task);
  if (refuses || /\brefuse\b/i.test(text)) {
    return { kind: 'refusal', pieces: words('I cannot help with that, says the simulator.') };
  }
  const calls = chooseCalls(task, text);
  if (calls.length > 0) return { kind: 'calls', calls };
  const results = trailingResults(task.turns);
  if (results.length > 0) return { kind: 'text', pieces: words(quoteResults(results)) };
  if (/\becho parameters\b/i.test(text)) return { kind: 'echo', pieces: slices(JSON.stringify(understood(task))) };
  if (task.schema !== undefined) {
    return { kind: 'text', pieces: slices(JSON.stringify(schemaInstance(task.schema))) };
  }
  const media = task.turns.findLast(({ role }) => role === 'user')?.media ?? [];
  if (media.length > 0) return { kind: 'text', pieces: words(`I see ${media.map(describeMedia).join(' and ')}.`) };
  return undefined;
}

function chooseCalls(task: ChatTask, text: string): ScriptedCall[] {
  const { mode, names } = task.toolChoice;
  if (mode === 'none') return [];
  const offered = names ? task.tools.filter(({ name }) => names.includes(name)) : task.tools;
  const [first] = offered;
  if (!first) return [];
  const answered = trailingResults(task.turns).length > 0;
  if (mode === 'auto' && answered) return [];
  if (/\bcall the tool\b/i.test(text)) return [{ name: first.name, pieces: slices(fixedArguments(task)) }];
  const wanted = findWanted(offered, text);
  const chosen = wanted.length === 0 && mode === 'required' ? [first] : wanted;
  return (task.parallelTools ? chosen : chosen.slice(0, 1)).map(callOf);
}

function findWanted(offered: readonly ToolOffer[], text: string): readonly ToolOffer[] {
  if (/\buse (both|all) (the )?tools\b/i.test(text)) return offered;
  const names = Array.from(text.matchAll(/\buse tool ([\w.-]+)/gi), ([, name = '']) => name.replace(/[.-]+$/, ''));
  return offered.filter(({ name }) => names.includes(name));
}

function callOf({ name, parameters }: ToolOffer): ScriptedCall {
  const instance = parameters === undefined ? {} : schemaInstance(parameters);
  return { name, pieces: slices(JSON.stringify(instance)) };
}

function fixedArguments({ model, turns }: ChatTask): string {
  const seed = hash([model, ...turns.map(({ text }) => text)]);
  return JSON.stringify({ text: wordAt(seed, 7).trim(), number: seed % 100 });
}

function trailingResults(turns: readonly Turn[]): readonly Turn[] {
  return turns.slice(turns.findLastIndex(({ role }) => role !== 'tool') + 1);
}

function quoteResults(results: readonly Turn[]): string {
  const quote = ({ tool = 'tool', failed, text }: Turn): string => `${tool}${failed ? ' failed' : ''} → ${text}`;
  return `The tools said: ${results.map(quote).join('; ')}`;
}

function describeMedia(media: Media): string {
  return 'url' in media ? `what is at ${media.url}` : `${media.mediaType} of ${media.bytes} bytes`;
}

/** In a fixed order; what was not said is left out. */
function understood(task: ChatTask): object {
  const { turns, tools, toolChoice, reasoning } = task;
  const system = turns.filter(({ role }) => role === 'system').map(({ text }) => text);
  const gather = <T>(read: (turn: Turn) => readonly T[] | undefined): readonly T[] | undefined => {
    const found = turns.flatMap((turn) => read(turn) ?? []);
    return found.length > 0 ? found : undefined;
  };
  return {
    system: system.length > 0 ? system.join('\n') : undefined,
    roles: turns.flatMap(({ role }) => (role === 'system' ? [] : [role])),
    choices: task.choices > 1 ? task.choices : undefined,
    max: Number.isFinite(task.maxTokens) ? task.maxTokens : undefined,
    stop: task.stop.length > 0 ? task.stop : undefined,
    ...task.echoed,
    tools: tools.length > 0 ? tools.map(({ name }) => name) : undefined,
    tool_choice: tools.length > 0 ? [toolChoice.mode, ...(toolChoice.names ?? [])].join(' ') : undefined,
    parallel_tools: tools.length > 0 && !task.parallelTools ? false : undefined,
    schema: task.schema,
    reasoning: reasoning?.effort,
    media: gather(({ media }) => media?.map(describeMedia)),
    calls: gather(({ calls }) => calls),
    results: gather(({ role, tool, text }) => (role === 'tool' ? [`${tool ?? 'tool'}: ${text}`] : undefined)),
    thoughts: gather(({ thoughts }) => thoughts),
    signatures: gather(({ signatures }) => signatures),
  };
}

/** One token a word, its space before it. */
function words(text: string): string[] {
  return text.split(/(?= )/);
}

/** One token for every four characters. */
function slices(text: string): string[] {
  return text.match(/.{1,4}/gsu) ?? [];
}
