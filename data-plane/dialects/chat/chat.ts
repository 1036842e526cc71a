import type { Usage } from '@pingtoken/shared/rate-card';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { ErrorCode } from '@pingtoken/shared/error-code';

/**
 * A chat call in no vendor's terms: what stands between a caller's dialect and a provider's where the two differ. Each
 * vendor has a reader and a writer of it, so that three dialects need six translators and not nine.
 *
 * Nothing is silently lost: a reader takes in every field that it knows and names what it cannot represent; a writer names
 * what its vendor cannot express; and the call is refused, unless its route says that such things may be dropped.
 */

/** JSON as it was parsed; numbers that a double would alter are kept by their text (see `parseJsonExactly`). */
export type Json = unknown;

export interface ChatRequest {
  /** As the caller named it; the writer is told the provider's own name. */
  readonly model: string;
  readonly streamed: boolean;
  /** System and developer instructions, in order, wherever in the conversation the caller put them first. */
  readonly system: readonly TextPart[];
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ChatTool[];
  readonly toolChoice?: ToolChoice;
  /** Whether the model may call several tools in one answer; absent: the vendor's default. */
  readonly parallelToolCalls?: boolean;
  /** Tokens, reasoning included. */
  readonly maxOutputTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly responseFormat?: ResponseFormat;
  readonly reasoning?: ReasoningWish;
  /** Answers wanted; absent: one. */
  readonly answerCount?: number;
  /** Log probabilities of the chosen tokens, and of so many others. */
  readonly logprobs?: { readonly top: number };
  readonly verbosity?: 'low' | 'medium' | 'high';
  readonly serviceTier?: string;
  /** What the caller says of its own end user; a pseudonym takes its place before it leaves (never the caller's text). */
  readonly endUser?: string;
  /** OpenAI's streams carry usage only on request; every other dialect's always do. */
  readonly wantsStreamUsage: boolean;
  /**
   * What else the caller said that no vendor but its own has a word for; absent where there is nothing. Without it the rest is
   * a whole request still, and so a route may leave it out.
   */
  readonly inexpressible?: readonly FieldFault[];
}

export type ChatMessage = UserMessage | AssistantMessage;

/** Also carries tool results: dialects that have a message of their own for them are read into, and written from, this. */
export interface UserMessage {
  readonly role: 'user';
  readonly content: readonly (TextPart | MediaPart | ToolResultPart)[];
}

export interface AssistantMessage {
  readonly role: 'assistant';
  readonly content: readonly AssistantPart[];
}

export type AssistantPart = TextPart | RefusalPart | ReasoningPart | ToolCallPart;

export interface TextPart {
  readonly kind: 'text';
  readonly text: string;
  /** A prompt-cache breakpoint stands behind this part (Anthropic's `cache_control`). */
  readonly cache?: CacheMark;
}

export interface CacheMark {
  readonly ttl: '5m' | '1h';
}

/** An image, a sound or a document that the caller gives. */
export interface MediaPart {
  readonly kind: 'media';
  /** `image/png`, `audio/wav`, `application/pdf`, …; undefined where a URL is given without one. */
  readonly mediaType: string | undefined;
  readonly source: { readonly kind: 'base64'; readonly data: string } | { readonly kind: 'url'; readonly url: string };
  /** OpenAI's `detail`. */
  readonly detail?: 'auto' | 'low' | 'high';
  readonly fileName?: string;
  readonly cache?: CacheMark;
}

export interface ToolResultPart {
  readonly kind: 'tool-result';
  readonly callId: string;
  /** Gemini names the function and has no ids; readers of other dialects find it by the id of the call. */
  readonly toolName: string;
  readonly content: readonly (TextPart | MediaPart)[];
  readonly isError?: boolean;
  readonly cache?: CacheMark;
}

export interface RefusalPart {
  readonly kind: 'refusal';
  readonly text: string;
}

/** What the model thought. The signature proves to its vendor that it is unaltered; it must come back with the turn. */
export interface ReasoningPart {
  readonly kind: 'reasoning';
  readonly text: string;
  readonly signature?: string;
  /** Anthropic's `redacted_thinking`: the vendor's ciphertext, with an empty text. */
  readonly redacted?: string;
}

export interface ToolCallPart {
  readonly kind: 'tool-call';
  readonly id: string;
  readonly name: string;
  /** JSON text of an object, as the model or the caller spelt it where the dialect has it as text. */
  readonly argumentsJson: string;
  /** Gemini's `thoughtSignature` of the call. */
  readonly signature?: string;
  readonly cache?: CacheMark;
}

export interface ChatTool {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of the arguments; absent: none are taken. */
  readonly parameters?: Json;
  readonly strict?: boolean;
  readonly cache?: CacheMark;
}

export type ToolChoice =
  { readonly kind: 'auto' | 'none' | 'required' } | { readonly kind: 'tool'; readonly name: string };

export type ResponseFormat =
  | { readonly kind: 'json' }
  | {
      readonly kind: 'json-schema';
      readonly name: string;
      readonly description?: string;
      readonly schema: Json;
      readonly strict?: boolean;
    };

export interface ReasoningWish {
  /** In the words of the dialects that have words for it; `none` turns it off. */
  readonly effort?: 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max';
  /** Tokens, in the dialects that have numbers for it. */
  readonly budgetTokens?: number;
  /** The model decides how much (Anthropic's `adaptive`, Gemini's budget -1). */
  readonly isAdaptive?: boolean;
  /** Whether the caller wants to see it (Gemini's `includeThoughts`, Anthropic's `display`). */
  readonly isVisible?: boolean;
}

/** A whole answer. */
export interface ChatAnswer {
  readonly id: string;
  /** As the provider named it; the writer puts the caller's alias in its place. */
  readonly model: string;
  /** Seconds since 1970, where the vendor says so. */
  readonly createdAt?: number;
  readonly choices: readonly ChatChoice[];
  readonly usage: Usage | undefined;
}

export interface ChatChoice {
  readonly content: readonly AssistantPart[];
  readonly finish: FinishReason;
  /** Which of the caller's stop sequences ended it, where the vendor says so. */
  readonly stopSequence?: string;
  /** In OpenAI's shape; the other dialects have none of their own that could be told apart. */
  readonly logprobs?: Json;
}

export type FinishReason = 'stop' | 'length' | 'tool-calls' | 'content-filter' | 'refusal';

/**
 * One step of a streamed answer. Parts come in order: a part is begun by its first step and ended by the first step of
 * another part of its choice. `choice` is 0 wherever one answer was asked for.
 */
export type ChatEvent =
  | { readonly kind: 'start'; readonly id: string; readonly model: string; readonly createdAt?: number }
  | {
      readonly kind: 'text' | 'refusal' | 'reasoning';
      readonly choice: number;
      readonly text: string;
      /** Of the tokens of this text, in OpenAI's shape. */
      readonly logprobs?: Json;
    }
  /** Belongs to the reasoning before it. */
  | { readonly kind: 'reasoning-signature'; readonly choice: number; readonly signature: string }
  | { readonly kind: 'reasoning-redacted'; readonly choice: number; readonly data: string }
  | {
      readonly kind: 'tool-call';
      readonly choice: number;
      /** Counts the calls of a choice from 0. */
      readonly index: number;
      readonly id: string;
      readonly name: string;
      readonly signature?: string;
    }
  | {
      readonly kind: 'tool-arguments';
      readonly choice: number;
      readonly index: number;
      /** A piece of the JSON text. */
      readonly json: string;
    }
  | {
      readonly kind: 'finish';
      readonly choice: number;
      readonly reason: FinishReason;
      readonly stopSequence?: string;
    }
  /** A running total: a later one replaces an earlier one. `ofPromptOnly`: it came before the answer, and does not count it. */
  | { readonly kind: 'usage'; readonly usage: Usage; readonly ofPromptOnly?: true }
  /** The provider broke off inside a stream that it had answered with 200. Nothing follows. */
  | { readonly kind: 'error'; readonly error: ChatError };

/** A provider's error, in no vendor's terms. Holds no text that could name a secret; see `convertProviderError`. */
export interface ChatError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** What a writer may find that its vendor has no place for. */
export type ChatFeature =
  | 'topK'
  | 'frequencyPenalty'
  | 'presencePenalty'
  | 'seed'
  | 'stop'
  | 'responseFormat'
  | 'reasoning'
  | 'answerCount'
  | 'logprobs'
  | 'verbosity'
  | 'serviceTier'
  | 'parallelToolCalls'
  | 'toolChoice'
  | 'media'
  | 'media.url'
  /** A detail other than the vendor's only one. */
  | 'media.detail'
  | 'toolResult.media'
  | 'tools.strict'
  | 'temperature'
  | 'topP';

/** `field` is in the caller's own words, by its path; empty where it is the whole body. */
export interface FieldFault {
  readonly field: string;
  readonly message: string;
}

/** The caller's request is none of its dialect: a field is missing, of the wrong type or out of its bounds. */
export interface UnreadableRequest {
  readonly unreadable: FieldFault;
}

/** A body for the provider, and what of the request it could not say. */
export interface WrittenRequest {
  readonly body: Json;
  readonly unsupported: readonly ChatFeature[];
}

/** One SSE event as it was read: `event` is its name, or undefined. */
export interface SseEvent {
  readonly event: string | undefined;
  readonly data: string;
}

/**
 * What every vendor's module offers. All of it is pure, but for the two stream translators, which hold the state of one
 * stream each.
 */
export interface ChatDialect {
  readonly dialect: Dialect;
  /** @param model Gemini's callers name it, and whether they want a stream, in the path */
  readRequest(
    body: Json,
    path: { readonly model: string | undefined; readonly streamed: boolean | undefined },
  ): ChatRequest | UnreadableRequest;
  /** The caller's word for each feature, for a refusal that it understands: `top_k`, `generationConfig.topK`. */
  readonly fieldNames: Readonly<Record<ChatFeature, string>>;
  /** @param upstreamModel the provider's own name of the model */
  writeRequest(request: ChatRequest, upstreamModel: string): WrittenRequest;
  /** @returns undefined when the body is no answer of this vendor's */
  readAnswer(body: Json): ChatAnswer | undefined;
  /** @param model what the caller called it */
  writeAnswer(answer: ChatAnswer, model: string): Json;
  createStreamReader(): ChatStreamReader;
  /** What an answer that is relayed as it is says was used. @returns undefined where it reports nothing */
  readUsage(body: Json): Usage | undefined;
  createUsageReader(): ChatUsageReader;
  /** Bytes without which no event and no body of this vendor's can report usage: `"usage"`, `"usageMetadata"`. */
  readonly usageMark: string;
  /** Behind the provider's base URL, which holds the API's version: `/chat/completions`, `/messages`. */
  requestPath(call: { readonly upstreamModel: string; readonly streamed: boolean }): string;
  /** Headers that every request of this dialect has, besides content type and credential: `anthropic-version`. */
  readonly requestHeaders: Readonly<Record<string, string>>;
  createStreamWriter(call: { readonly model: string; readonly wantsUsage: boolean }): ChatStreamWriter;
  /** The body of an error, and of an error event where `inStream`. */
  writeError(error: ChatError & { readonly status: number; readonly param: string | null }): Json;
}

export interface ChatStreamReader {
  push(event: SseEvent): readonly ChatEvent[];
  /**
   * The provider's bytes have ended.
   * @returns whether the stream was whole: it said that it had finished
   */
  end(): boolean;
}

/** Follows a stream that is relayed as it is. */
export interface ChatUsageReader {
  /** @returns the running total so far; undefined while nothing was reported */
  push(event: SseEvent): Usage | undefined;
  /** What was reported so far came before the answer, and does not count it. */
  readonly countsPromptOnly?: boolean;
}

/** Texts are whole SSE events, blank line included; empty where there is nothing to say yet. */
export interface ChatStreamWriter {
  push(event: ChatEvent): string;
  /** After the last event of a whole stream: what closes it in this dialect (`data: [DONE]`, `message_stop`, nothing). */
  end(): string;
}
