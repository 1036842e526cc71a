/** One conversation in words that all three official clients can say, and what a client made of the answer. */
export interface Conversation {
  readonly model: string;
  readonly streamed: boolean;
  readonly said: readonly Said[];
  readonly system?: string;
  readonly temperature?: number;
  readonly topP?: number;
  readonly stop?: string;
  readonly maxTokens?: number;
  /** Offers two tools, `weather` and `clock`. */
  readonly tools?: boolean;
  readonly schema?: Readonly<Record<string, unknown>>;
  /** Asks for thought, in each client's usual words, and to see it. */
  readonly reasons?: boolean;
}

/** `answer` gives back what the client was given before, as the client gave it. */
export type Said = UserTurn | { readonly answer: unknown };

export interface UserTurn {
  readonly user: string;
  readonly pictures?: readonly Picture[];
  /** Of the calls of the answer before, in the same turn. */
  readonly results?: readonly ToolResult[];
}

export type Picture = { readonly base64: string } | { readonly url: string };

export interface ToolResult {
  readonly callId: string;
  readonly name: string;
  readonly text: string;
  readonly failed?: boolean;
}

export interface Reply {
  readonly answer: unknown;
  readonly text: string;
  readonly refusal: string;
  readonly thoughts: string;
  readonly calls: readonly { readonly id: string; readonly name: string; readonly args: unknown }[];
  readonly finish: string;
  /** Which of the stop sequences ended it, where the dialect says so. */
  readonly stopSequence: string | null;
  readonly usage: ReportedUsage;
}

/** Sums: the input with what was cached, the output with what was thought. */
export interface ReportedUsage {
  readonly input: number;
  readonly cached: number;
  readonly output: number;
  readonly reasoning: number;
}

export type Talk = (conversation: Conversation) => Promise<Reply>;

export interface ClientOptions {
  /** Without a path. */
  readonly origin: string;
  readonly apiKey: string;
}

export const TOOLS = ['weather', 'clock'] as const;
export const TOOL_PARAMETERS = {
  type: 'object' as const,
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
};
export const PICTURE_TYPE = 'image/png';
