import { lastUserText, messageTexts, promptTokens, type ChatRequest } from './chat-request.js';
import type { Faults } from './directives.js';

/** Integer token counts of one call, of all its choices together. `cached` is part of `prompt`, `reasoning` of `completion`. */
export interface TokenCount {
  readonly prompt: number;
  readonly completion: number;
  readonly cached: number;
  readonly reasoning: number;
}

/** What one call is answered with. Every choice says the same. */
export interface ChatAnswer {
  readonly choices: number;
  /** How many visible tokens a choice has, and the text of each: deterministic, so nothing is built before it is sent. */
  readonly visibleTokens: number;
  readonly tokenAt: (index: number) => string;
  readonly reasoningTokens: number;
  /** Set where the answer is a tool call, whose arguments the tokens then spell. */
  readonly tool: { readonly id: string; readonly name: string } | undefined;
  readonly finishReason: 'stop' | 'length' | 'tool_calls';
  readonly tokens: TokenCount;
}

const OPENING = ['This', ' is', ' the', ' simulator’s', ' answer:'];
const PLAIN = ' a river carries small stones over quiet fields while seven lamps burn near old harbour walls'.split(
  /(?= )/,
);
/** Two, three and four byte characters, so that a stream cut anywhere is sooner or later cut inside a character. */
const FOREIGN = [' naïve', ' Ωmega', ' 日本', ' 🙂', ' façade', ' мир', ' 한글', ' 𝛑'];

/**
 * Answers a request, purely. One word is one token. The words follow from the model and the texts of the messages
 * alone; there are 8 to 31 of them unless `tokens` says otherwise, cut by the smaller of the two caps unless `overrun`
 * is set. Every fourth word is not ASCII. Where the request brings tools and the last user text says "call the tool",
 * the first function tool is called; its arguments are one token for every four characters.
 */
export function answerChat(request: ChatRequest, faults: Faults): ChatAnswer {
  const texts = messageTexts(request);
  const seed = hash([request.model, ...texts]);
  const userText = lastUserText(request, texts);
  const tool = /call the tool/i.test(userText) ? request.tools?.find((each) => each.function)?.function : undefined;
  const spelt = tool && (JSON.stringify({ text: wordAt(seed, 7).trim(), number: seed % 100 }).match(/.{1,4}/gu) ?? []);
  const wanted = faults.tokens ?? (spelt?.length ?? 8 + (seed % 24)) + (faults.reasoning ?? 0);
  const cap = faults.overrun
    ? Infinity
    : Math.min(request.max_tokens ?? Infinity, request.max_completion_tokens ?? Infinity);
  const total = Math.min(wanted, cap);
  const reasoning = Math.min(faults.reasoning ?? 0, total);
  const choices = request.n ?? 1;
  const prompt = promptTokens(texts);
  return {
    choices,
    visibleTokens: total - reasoning,
    tokenAt: spelt ? (index) => spelt[index] ?? ' ' : (index) => wordAt(seed, index),
    reasoningTokens: reasoning,
    tool: tool && { id: `call_sim${seed.toString(36)}`, name: tool.name },
    finishReason: total < wanted ? 'length' : tool ? 'tool_calls' : 'stop',
    tokens: {
      prompt,
      completion: total * choices,
      cached: Math.min(faults.cached ?? 0, prompt),
      reasoning: reasoning * choices,
    },
  };
}

/** The whole text of one choice. */
export function answerText(answer: ChatAnswer): string {
  let text = '';
  for (let index = 0; index < answer.visibleTokens; index += 1) text += answer.tokenAt(index);
  return text;
}

function wordAt(seed: number, index: number): string {
  const opening = OPENING[index];
  if (opening !== undefined) return opening;
  const words = index % 4 === 3 ? FOREIGN : PLAIN;
  return words[mix(seed + index) % words.length] ?? ' word';
}

/** FNV-1a over UTF-16 units, 32 bits: quick, and the same on every machine. */
export function hash(texts: readonly string[]): number {
  let state = 0x811c9dc5;
  for (const text of texts) {
    for (let index = 0; index < text.length; index += 1) {
      state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
    }
    state = Math.imul(state ^ 0x1f, 0x01000193);
  }
  return state >>> 0;
}

/** Spreads neighbouring numbers over 32 bits (the finaliser of MurmurHash3). */
export function mix(value: number): number {
  let state = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
