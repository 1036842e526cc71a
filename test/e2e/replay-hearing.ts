import { createParser } from 'eventsource-parser';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { parseJsonExactly, stringifyExactly } from '../../data-plane/dialects/chat/json.js';

/** What a stream says, read by hand: nothing of the product's own readers is used. */
export interface Heard {
  readonly text: string;
  readonly refusal: string;
  /** Names and arguments of all calls, one behind the other, without white space. */
  readonly calls: string;
}

type Fields = Readonly<Record<string, unknown>>;

export function hear(dialect: Dialect, stream: string): Heard {
  const events: Fields[] = [];
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data !== '[DONE]') events.push(parseJsonExactly(data) as Fields);
    },
  });
  parser.feed(stream);
  const pieces = events.flatMap({ openai: openAiPieces, anthropic: anthropicPieces(), gemini: geminiPieces }[dialect]);
  const join = (kind: keyof Heard): string => pieces.map((piece) => piece[kind] ?? '').join('');
  return { text: join('text'), refusal: join('refusal'), calls: join('calls').replaceAll(/\s/g, '') };
}

interface Delta {
  readonly content?: string | null | readonly { readonly type: string; readonly text?: string }[];
  readonly refusal?: string | null;
  readonly tool_calls?:
    readonly { readonly function?: { readonly name?: string; readonly arguments?: string } }[] | null;
}

function openAiPieces(event: Fields): Partial<Heard>[] {
  const choices = (event['choices'] ?? []) as readonly { readonly delta?: Delta }[];
  return choices.map(({ delta = {} }) => {
    const { content, refusal, tool_calls: calls } = delta;
    const text = typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? '').join('');
    const told = (calls ?? []).map(({ function: called }) => (called?.name ?? '') + (called?.arguments ?? ''));
    return { text, refusal: refusal ?? '', calls: told.join('') };
  });
}

interface AnthropicEvent {
  readonly index?: number;
  readonly content_block?: { readonly type: string; readonly name?: string; readonly text?: string };
  readonly delta?: {
    readonly type?: string;
    readonly text?: string;
    readonly partial_json?: string;
    readonly stop_details?: { readonly explanation?: string | null } | null;
  };
}

/** Of calls, those of the caller's tools: what Anthropic runs itself is no caller's of another dialect. */
function anthropicPieces(): (event: Fields) => Partial<Heard>[] {
  const kinds = new Map<unknown, string>();
  return (event) => {
    const { index, content_block: block } = event as AnthropicEvent;
    if (block !== undefined) kinds.set(index, block.type);
    return anthropicPiece(event, kinds.get(index));
  };
}

function anthropicPiece(event: AnthropicEvent, kind: string | undefined): Partial<Heard>[] {
  const { content_block: block, delta } = event;
  if (block?.type === 'tool_use') return [{ calls: block.name ?? '' }];
  if (block?.type === 'text') return [{ text: block.text ?? '' }];
  if (delta === undefined) return [];
  return [
    {
      ...(delta.type === 'text_delta' && { text: delta.text ?? '' }),
      ...(delta.type === 'input_json_delta' && kind === 'tool_use' && { calls: delta.partial_json ?? '' }),
      refusal: delta.stop_details?.explanation ?? '',
    },
  ];
}

interface Part {
  readonly text?: string;
  readonly thought?: boolean;
  readonly functionCall?: { readonly name: string; readonly args?: unknown };
}

function geminiPieces(event: Fields): Partial<Heard>[] {
  const candidates = (event['candidates'] ?? []) as readonly {
    readonly content?: { readonly parts?: readonly Part[] };
  }[];
  const parts = candidates.flatMap(({ content }) => content?.parts ?? []);
  return parts.map(({ text = '', thought, functionCall: call }) => ({
    text: thought === true ? '' : text,
    calls: call === undefined ? '' : call.name + stringifyExactly(call.args ?? {}),
  }));
}
