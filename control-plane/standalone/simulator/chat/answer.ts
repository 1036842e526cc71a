import type { Faults } from '../directives.js';
import { promptTokens, type TokenCount } from '../tokens.js';
import { hash, thoughtAt, wordAt } from '../words.js';
import { chooseScript, type Script } from './script.js';
import { lastUserText, type ChatTask, type ReasoningWish } from './task.js';

/** What one call is answered with. Every choice says the same. */
export interface ChatAnswer {
  readonly choices: number;
  /** The parts of a choice, in order: what was thought and is shown, then a text, a refusal, or calls of tools. */
  readonly parts: readonly AnswerPart[];
  /** Of a choice: thought, and counted, but not shown. */
  readonly hiddenReasoningTokens: number;
  /** What a caller must give back with what was thought. */
  readonly signature: string;
  readonly finish: 'stop' | 'length' | 'tools' | 'refusal';
  readonly stopSequence: string | undefined;
  readonly tokens: TokenCount;
}

/** `tokenAt` is deterministic, so that nothing is built before it is sent. A call's tokens spell its arguments. */
export type AnswerPart = Spoken | ToolCallPart;

interface Spelt {
  readonly tokens: number;
  readonly tokenAt: (index: number) => string;
}
export interface Spoken extends Spelt {
  readonly kind: 'reasoning' | 'text' | 'refusal';
}
export interface ToolCallPart extends Spelt {
  readonly kind: 'call';
  readonly name: string;
  /** Letters and digits; each dialect puts its own prefix before it. */
  readonly id: string;
}

/**
 * Answers a request, purely. One word is one token. The words follow from the model and the texts of the turns alone;
 * there are 8 to 31 of them unless `tokens` says otherwise, cut by the cap unless `overrun` is set, and by stop
 * sequences. What a request asks for beyond words is in `chooseScript`; what it makes longer than `tokens` is cut off,
 * what it leaves is filled with words.
 */
export function answerChat(task: ChatTask, faults: Faults): ChatAnswer {
  const texts = task.turns.map(({ text }) => text);
  const seed = hash([task.model, ...texts]);
  const userText = lastUserText(task);
  const script = chooseScript(task, faults.refuse === true);
  const thought = faults.reasoning ?? thoughtTokens(task.reasoning);
  const spelt = spell(script, seed, faults.tokens === undefined ? undefined : Math.max(0, faults.tokens - thought));
  const { said, stopSequence } = isStoppable(script) ? stopAt(task.stop, spelt) : { said: spelt };
  const wanted = stopSequence === undefined ? (faults.tokens ?? said.length + thought) : said.length + thought;
  const total = Math.min(wanted, faults.overrun ? Infinity : task.maxTokens);
  const reasoning = Math.min(thought, total);
  const shown = task.reasoning?.shown === true;
  const answering = answerParts({ script, said, tokens: total - reasoning, seed });
  const prompt = promptTokens(texts);
  const cached = Math.min(faults.cached ?? (/\buse cache\b/i.test(userText) ? Math.floor(prompt / 2) : 0), prompt);
  const thinking: AnswerPart = { kind: 'reasoning', tokens: reasoning, tokenAt: (index) => thoughtAt(seed, index) };
  return {
    choices: task.choices,
    parts: shown && reasoning > 0 ? [thinking, ...answering] : answering,
    hiddenReasoningTokens: shown ? 0 : reasoning,
    signature: Buffer.from(`simulated signature ${seed.toString(36)}`).toString('base64'),
    finish: total < wanted ? 'length' : finishOf(script),
    stopSequence: total < wanted ? undefined : stopSequence,
    tokens: {
      prompt,
      completion: total * task.choices,
      cached,
      cacheWrite: Math.min(faults['cache-write'] ?? 0, prompt - cached),
      reasoning: reasoning * task.choices,
    },
  };
}

/** The whole text of one part. */
export function partText({ tokens, tokenAt }: Spelt): string {
  let text = '';
  for (let index = 0; index < tokens; index += 1) text += tokenAt(index);
  return text;
}

/** The whole text of those parts of a choice that are of this kind. */
export function textOf(answer: ChatAnswer, kind: Spoken['kind']): string {
  return answer.parts.flatMap((part) => (part.kind === kind ? [partText(part)] : [])).join('');
}

/** The calls of a choice. */
export function callsOf(answer: ChatAnswer): ToolCallPart[] {
  return answer.parts.filter((part) => part.kind === 'call');
}

/** A call's arguments as a value. Those that were cut off are no JSON; then it has none. */
export function callInput(call: ToolCallPart): unknown {
  try {
    return JSON.parse(partText(call));
  } catch {
    return {};
  }
}

/** What a choice says: a script, words after it or alone. */
interface Said {
  readonly length: number;
  readonly tokenAt: (index: number) => string;
}

function spell(script: Script | undefined, seed: number, wantedLength: number | undefined): Said {
  if (!script) return { length: wantedLength ?? 8 + (seed % 24), tokenAt: (index) => wordAt(seed, index) };
  const isCall = script.kind === 'calls';
  const pieces = isCall ? script.calls.flatMap((call) => call.pieces) : script.pieces;
  const tokenAt = (index: number): string => pieces[index] ?? (isCall ? ' ' : wordAt(seed, index));
  return { length: wantedLength ?? pieces.length, tokenAt };
}

/** Ends a text before the first of the caller's stop sequences. */
function stopAt(stop: readonly string[], said: Said): { said: Said; stopSequence?: string } {
  if (stop.length === 0) return { said };
  const text = partText({ tokens: said.length, tokenAt: said.tokenAt });
  const found = stop
    .map((sequence) => ({ sequence, at: sequence === '' ? -1 : text.indexOf(sequence) }))
    .filter(({ at }) => at >= 0)
    .sort((one, other) => one.at - other.at)[0];
  if (!found) return { said };
  const pieces: string[] = [];
  for (let index = 0, left = found.at; left > 0; index += 1) {
    const piece = said.tokenAt(index).slice(0, left);
    pieces.push(piece);
    left -= piece.length;
  }
  return { said: { length: pieces.length, tokenAt: (index) => pieces[index] ?? '' }, stopSequence: found.sequence };
}

function answerParts(answer: { script: Script | undefined; said: Said; tokens: number; seed: number }): AnswerPart[] {
  const { script, said, tokens, seed } = answer;
  if (script?.kind !== 'calls') {
    return [{ kind: script?.kind === 'refusal' ? 'refusal' : 'text', tokens, tokenAt: said.tokenAt }];
  }
  const parts: ToolCallPart[] = [];
  let begun = 0;
  for (const [index, { name, pieces }] of script.calls.entries()) {
    if (index > 0 && begun >= tokens) break;
    const from = begun;
    const left = tokens - from;
    const own = index === script.calls.length - 1 ? left : Math.min(pieces.length, left);
    const id = `sim${seed.toString(36)}${index === 0 ? '' : `n${index}`}`;
    parts.push({ kind: 'call', name, id, tokens: own, tokenAt: (at) => said.tokenAt(from + at) });
    begun += own;
  }
  return parts;
}

function isStoppable(script: Script | undefined): boolean {
  return script?.kind !== 'calls' && script?.kind !== 'echo';
}

function finishOf(script: Script | undefined): ChatAnswer['finish'] {
  if (script?.kind === 'calls') return 'tools';
  return script?.kind === 'refusal' ? 'refusal' : 'stop';
}

const EFFORTS: Readonly<Record<string, number>> = { none: 0, minimal: 4, low: 4, medium: 8, high: 16 };

/** Reasoning tokens for a wish: 4 to 24 by its word; 1 for every 256 of a budget, 4 to 24; 8 where the model decides. */
function thoughtTokens(wish: ReasoningWish | undefined): number {
  if (!wish) return 0;
  if (typeof wish.effort === 'string') return EFFORTS[wish.effort] ?? (/^(xhigh|max)$/.test(wish.effort) ? 24 : 8);
  if (wish.effort < 0) return 8;
  return wish.effort === 0 ? 0 : Math.min(Math.max(Math.floor(wish.effort / 256), 4), 24);
}
