import { parseJson } from '@pingtoken/shared/wire';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { itemsOf, membersOf } from './output-text.js';
import { mediaTokensOf } from './prompt-media.js';
import { TextTally } from './text-tally.js';

/** What a request gives the model to read. */
export interface Prompt {
  readonly text: TextTally;
  /** Tokens that are known without a tokenizer: what stands around messages, pictures, prompts given as token numbers. */
  readonly inputTokens: number;
  readonly audioTokens: number;
}

/**
 * The chat format's own tokens: around each message, its role included, and before the answer.
 * https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken
 */
const TOKENS_A_MESSAGE = 4;
const TOKENS_BEFORE_ANSWER = 3;

/** Members of a request that are read, and those that the model is given as JSON. All else is no content. */
interface PromptPlaces {
  readonly content: readonly string[];
  readonly json: readonly (readonly string[])[];
}

const PLACES: Readonly<Record<Dialect, PromptPlaces>> = {
  openai: {
    content: ['messages', 'instructions', 'input', 'prompt', 'suffix'],
    json: [['tools'], ['functions'], ['response_format', 'json_schema'], ['text', 'format', 'schema']],
  },
  anthropic: { content: ['system', 'messages'], json: [['tools'], ['output_config', 'format', 'schema']] },
  gemini: {
    content: ['systemInstruction', 'system_instruction', 'contents', 'content', 'requests'],
    json: [
      ['tools'],
      ['generationConfig', 'responseSchema'],
      ['generationConfig', 'responseJsonSchema'],
      ['generation_config', 'response_schema'],
    ],
  },
};

/** Members of a message or a part that say what it is, point elsewhere, or are sealed by the vendor. */
const NO_CONTENT: ReadonlySet<string> = new Set(
  `type role id call_id tool_call_id tool_use_id server_label index status phase detail format cache_control signature
  thoughtSignature thought_signature encrypted_content url uri file_id fileUri file_uri mimeType mime_type media_type
  annotations citations logprobs caller model`.split(/\s+/),
);

/** Members whose objects the model is given as JSON: what it called a tool with, and what that returned. */
const JSON_MEMBERS: ReadonlySet<string> = new Set(['input', 'args', 'response']);

const EXACT_CHARACTERS = 1024 * 1024;

/**
 * Attack: what is parsed is many times larger than its text, and a thread that runs out of memory while it parses ends the
 * process, whatever the thread's limit is. A request with more values than this is not parsed, a token is then taken for
 * four bytes of it.
 */
const MAX_VALUES = 500_000;
const TOKENS_PER_UNREAD_BYTE = 0.25;

/** Deeper than any message. A body that is nested to exhaust a stack is not followed. */
const MAX_DEPTH = 60;

/**
 * @param body a request, as the provider got it
 * @throws SyntaxError when it is no JSON
 */
export function readPrompt(body: Buffer, dialect: Dialect): Prompt {
  if (!hasFewValues(body)) {
    const inputTokens = Math.ceil(body.length * TOKENS_PER_UNREAD_BYTE);
    return { text: new TextTally(0), inputTokens, audioTokens: 0 };
  }
  const request = membersOf(parseJson(body.toString()));
  const reading = new PromptReading(dialect);
  const { content, json } = PLACES[dialect];
  for (const name of content) reading.read(request[name], 0);
  for (const path of json) {
    reading.readJson(path.reduce<unknown>((value, name) => membersOf(value)[name], request));
  }
  return reading.result();
}

const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/** Counts those in texts too, for speed: a text of half a million commas is none that a model is given. */
function hasFewValues(body: Buffer): boolean {
  let values = 0;
  for (const byte of body) {
    if (byte === COMMA || byte === OPEN_BRACE || byte === OPEN_BRACKET) values += 1;
  }
  return values <= MAX_VALUES;
}

class PromptReading {
  readonly #text = new TextTally(EXACT_CHARACTERS);
  readonly #dialect: Dialect;
  #texts = 0;
  #messages = 0;
  #inputTokens = 0;
  #audioTokens = 0;

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  result(): Prompt {
    const format = this.#messages === 0 ? 0 : this.#messages * TOKENS_A_MESSAGE + TOKENS_BEFORE_ANSWER;
    return { text: this.#text, inputTokens: this.#inputTokens + format, audioTokens: this.#audioTokens };
  }

  read(value: unknown, depth: number): void {
    if (typeof value === 'string') this.#add(value);
    else if (Array.isArray(value)) this.#readList(value, depth);
    else this.#readObject(membersOf(value), depth);
  }

  readJson(value: unknown): void {
    if (value !== undefined && value !== null) this.#add(JSON.stringify(value));
  }

  #add(text: string): void {
    this.#texts += 1;
    this.#text.add(String(this.#texts), text);
  }

  #readList(list: readonly unknown[], depth: number): void {
    if (depth > MAX_DEPTH) return;
    for (const item of itemsOf(list)) {
      // A prompt of completions or embeddings may be given as numbers of tokens.
      if (typeof item === 'number') this.#inputTokens += 1;
      else this.read(item, depth + 1);
    }
  }

  #readObject(part: Readonly<Record<string, unknown>>, depth: number): void {
    if (depth > MAX_DEPTH || part['type'] === 'redacted_thinking') return;
    const media = mediaTokensOf(part, this.#dialect);
    if (media !== undefined) {
      this.#inputTokens += media.input;
      this.#audioTokens += media.audioInput;
      return;
    }
    if (typeof part['role'] === 'string') this.#messages += 1;
    for (const [name, value] of Object.entries(part)) {
      if (typeof value === 'number' || NO_CONTENT.has(name)) continue;
      if (JSON_MEMBERS.has(name) && typeof value === 'object') this.readJson(value);
      else this.read(value, depth + 1);
    }
  }
}
