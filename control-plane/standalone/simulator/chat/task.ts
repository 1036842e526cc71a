/** A chat call as the simulator understood it, whatever dialect it came in. Equal tasks are answered with equal content. */
export interface ChatTask {
  readonly model: string;
  /** In the order of the request, system turns included. */
  readonly turns: readonly Turn[];
  readonly tools: readonly ToolOffer[];
  readonly toolChoice: ToolChoice;
  /** Whether several tools may be called at once. */
  readonly parallelTools: boolean;
  /** The JSON schema that the answer must match; undefined where none was asked for. */
  readonly schema: unknown;
  readonly reasoning: ReasoningWish | undefined;
  readonly stop: readonly string[];
  /** The most completion tokens of a choice, reasoning included; Infinity where there is no cap. */
  readonly maxTokens: number;
  readonly choices: number;
  /** Parameters that change nothing of the answer, under their common names, for `echo parameters`. */
  readonly echoed: Readonly<Record<string, unknown>>;
}

export interface Turn {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly text: string;
  readonly media?: readonly Media[];
  /** Names of the tools that an assistant's turn called. */
  readonly calls?: readonly string[];
  /** The tool that a tool's turn is the result of. */
  readonly tool?: string;
  /** The result says, in the dialect's own field for it, that the tool failed. */
  readonly failed?: true;
  /** What was thought, as far as the caller gave it back. */
  readonly thoughts?: readonly string[];
  /** Signatures of reasoning that the caller gave back. */
  readonly signatures?: readonly string[];
}

/** `bytes` is the length of what was sent along; a URL is not fetched. */
export type Media = { readonly mediaType: string; readonly bytes: number } | { readonly url: string };

export interface ToolOffer {
  readonly name: string;
  /** JSON schema of its arguments. */
  readonly parameters: unknown;
}

/** `names`: only these may be called; without it, any. */
export interface ToolChoice {
  readonly mode: 'auto' | 'none' | 'required';
  readonly names?: readonly string[];
}

export interface ReasoningWish {
  /** In words, or tokens. */
  readonly effort: string | number;
  /** Whether the answer shows what was thought, or only counts it. */
  readonly shown: boolean;
}

/** The text of the last user turn, or '' where there is none. */
export function lastUserText({ turns }: Pick<ChatTask, 'turns'>): string {
  return turns.findLast(({ role }) => role === 'user')?.text ?? '';
}

const DATA_URL = /^data:([^;,]*)((?:;[^;,]*)*),(.*)$/s;

/** What a URL stands for: a `data:` URL for its bytes, any other for itself. */
export function mediaOfUrl(url: string): Media {
  const [, mediaType, parameters, data] = DATA_URL.exec(url) ?? [];
  if (data === undefined) return { url };
  const bytes = parameters?.endsWith(';base64') ? base64Length(data) : Buffer.byteLength(data);
  return { mediaType: mediaType || 'text/plain', bytes };
}

/** How many bytes a base64 text stands for. */
export function base64Length(data: string): number {
  return Buffer.from(data, 'base64').length;
}
