import type { Usage } from '@pingtoken/shared/rate-card';
import type { ChatDialect, ChatRequest } from '../dialects/chat/chat.js';
import type { Refusal } from '../http-error.js';
import type { HeldMoney } from '../leases/held-money.js';
import type { Routed } from '../route/route.js';

/** What is sent. */
export interface Outgoing {
  /** JSON goes by undici; forms, and what nobody here understands, by http-proxy-middleware. */
  readonly client: 'undici' | 'proxy';
  /** Behind the provider's base URL, with its query. */
  readonly path: string;
  /** Content type, accept, and what the dialect asks for. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Undefined where caller and provider speak alike, and the answer goes back as it comes. */
  readonly translation: Translation | AnswerConversion | undefined;
  /** Nothing is sent where this is set: the prompt that the body holds is counted here, and this writes the answer. */
  readonly writeCount?: (tokens: number) => string;
  /** Changes the bytes of an answer that is not translated, as they come from the provider. */
  readonly editAnswer?: (() => AnswerEditor) | undefined;
}

/** Edits the bytes of one answer, however they are cut. */
export interface AnswerEditor {
  push(chunk: Buffer): Buffer;
  /** @returns what was held back */
  end(): Buffer;
}

/** Of an answer that is never streamed: what the caller is told, and what it says was used. */
export interface AnswerConversion {
  /** @returns undefined when the body is no answer of the provider's dialect */
  readonly convertAnswer: (body: Buffer) => ConvertedAnswer | undefined;
}

export interface ConvertedAnswer {
  readonly json: string;
  readonly usage: Usage | undefined;
}

/** Between whom an answer is translated. */
export interface Translation {
  readonly provider: ChatDialect;
  readonly caller: ChatDialect;
  readonly request: ChatRequest;
}

/**
 * A call that can be sent as it is; `outgoing` is undefined where there is more to it than one request: for a session, whose
 * messages go out one by one, and for what a provider keeps.
 */
export type Prepared = Routed & {
  readonly outgoing: Outgoing | undefined;
  /** Of a session: its opening, which costs nothing by itself, or one of the calls within, whose prompt is all that was said. */
  readonly session?: 'opening' | 'turn';
  /** Reserves in the place of what is usual: for what is billed when the call is long over. */
  readonly reserve?: () => Promise<HeldMoney | Refusal | undefined>;
};
