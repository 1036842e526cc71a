import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { Usage } from '@pingtoken/shared/rate-card';
import { stringifyExactly } from '../json.js';
import type { ChatEvent, ChatStreamWriter, FinishReason, ReasoningPart } from '../chat.js';
import { writeError } from './errors.js';
import { writeFinish } from './finish.js';
import { writeReasoningDetail } from './reasoning.js';
import { writeThoughtSignature } from './thought-signature.js';
import { writeUsage } from './usage.js';
import { secondsNow } from './write-answer.js';

interface ChoiceState {
  hasRefusal: boolean;
  /** Of the thought that is being told: its signature comes last, and is given with all that it signs. */
  thought: string;
  thoughts: number;
  finish: FinishReason | undefined;
}

/** https://platform.openai.com/docs/api-reference/chat-streaming */
export function createStreamWriter(call: { readonly model: string; readonly wantsUsage: boolean }): ChatStreamWriter {
  const writer = new StreamWriter(call.model, call.wantsUsage);
  return { push: (event) => writer.push(event), end: () => writer.end() };
}

class StreamWriter {
  private readonly choices = new Map<number, ChoiceState>();
  /** All of a chunk that comes before `choices`. */
  private head: string | undefined;
  /** Who wants usage gets a null in every chunk, until the one that has it. */
  private readonly tail: string;
  private usage: Usage | undefined;
  private hasFailed = false;

  constructor(
    private readonly model: string,
    private readonly wantsUsage: boolean,
  ) {
    this.tail = wantsUsage ? ',"usage":null}\n\n' : '}\n\n';
  }

  push(event: ChatEvent): string {
    if (this.hasFailed) return '';
    switch (event.kind) {
      case 'start':
        this.start(event.id, event.createdAt);
        return this.open(0);
      case 'text':
        return this.beginOther(event.choice) + this.delta(event.choice, 'content', event.text, event.logprobs);
      case 'refusal': {
        const opening = this.beginOther(event.choice);
        this.stateOf(event.choice).hasRefusal = true;
        return opening + this.delta(event.choice, 'refusal', event.text, event.logprobs);
      }
      case 'reasoning':
        return this.writeThought(event.choice, event.text);
      case 'reasoning-signature':
        return this.writeSignature(event.choice, event.signature);
      case 'reasoning-redacted':
        return this.writeDetail(event.choice, { kind: 'reasoning', text: '', redacted: event.data });
      case 'tool-call':
      case 'tool-arguments':
        return this.writeCall(event);
      case 'finish': {
        const opening = this.open(event.choice);
        return opening + this.finish(event.choice, event.reason);
      }
      case 'usage':
        this.usage = event.usage;
        return '';
      case 'error': {
        this.hasFailed = true;
        const { status } = ERROR_CODES[event.error.code];
        return `data: ${stringifyExactly(writeError({ ...event.error, status, param: null }))}\n\n`;
      }
    }
  }

  end(): string {
    if (this.hasFailed) return '';
    if (!this.wantsUsage || this.usage === undefined) return 'data: [DONE]\n\n';
    const usage = stringifyExactly(writeUsage(this.usage));
    return `${this.headOf()}[],"usage":${usage}}\n\ndata: [DONE]\n\n`;
  }

  private start(id: string, createdAt: number | undefined): void {
    const facts = { id, object: 'chat.completion.chunk', created: createdAt ?? secondsNow(), model: this.model };
    this.head ??= `data: ${stringifyExactly(facts).slice(0, -1)},"choices":`;
  }

  private headOf(): string {
    if (this.head === undefined) this.start('', undefined);
    return this.head ?? '';
  }

  private stateOf(choice: number): ChoiceState {
    const known = this.choices.get(choice);
    if (known !== undefined) return known;
    const state: ChoiceState = { hasRefusal: false, thought: '', thoughts: 0, finish: undefined };
    this.choices.set(choice, state);
    return state;
  }

  /** The first chunk of a choice says who speaks. */
  private open(choice: number): string {
    if (this.choices.has(choice)) return '';
    this.stateOf(choice);
    return this.chunk(choice, '{"role":"assistant","content":"","refusal":null}');
  }

  /** Another part ends a thought that nobody signed. */
  private beginOther(choice: number): string {
    const opening = this.open(choice);
    this.stateOf(choice).thought = '';
    return opening;
  }

  private delta(choice: number, field: string, text: string, logprobs?: unknown): string {
    return this.chunk(choice, `{"${field}":${stringifyExactly(text)}}`, { logprobs });
  }

  private chunk(choice: number, delta: string, rest: { logprobs?: unknown; finish?: string } = {}): string {
    const logprobs = rest.logprobs === undefined ? 'null' : stringifyExactly(rest.logprobs);
    const finish = rest.finish === undefined ? 'null' : `"${rest.finish}"`;
    const state = `"logprobs":${logprobs},"finish_reason":${finish}`;
    return `${this.headOf()}[{"index":${choice},"delta":${delta},${state}}]${this.tail}`;
  }

  private writeThought(choice: number, text: string): string {
    const opening = this.open(choice);
    this.stateOf(choice).thought += text;
    return opening + this.delta(choice, 'reasoning_content', text);
  }

  private writeSignature(choice: number, signature: string): string {
    const { thought } = this.stateOf(choice);
    return this.writeDetail(choice, { kind: 'reasoning', text: thought, signature });
  }

  private writeDetail(choice: number, part: ReasoningPart): string {
    const opening = this.open(choice);
    const state = this.stateOf(choice);
    const detail = stringifyExactly(writeReasoningDetail(part, state.thoughts));
    state.thoughts += 1;
    state.thought = '';
    return opening + this.chunk(choice, `{"reasoning_details":[${detail}]}`);
  }

  private writeCall(event: ChatEvent & { readonly kind: 'tool-call' | 'tool-arguments' }): string {
    const { choice, index } = event;
    const call =
      event.kind === 'tool-arguments'
        ? { index, function: { arguments: event.json } }
        : {
            index,
            id: event.id,
            type: 'function',
            function: { name: event.name, arguments: '' },
            ...writeThoughtSignature(event.signature),
          };
    return this.beginOther(choice) + this.chunk(choice, `{"tool_calls":[${stringifyExactly(call)}]}`);
  }

  private finish(choice: number, reason: FinishReason): string {
    const state = this.stateOf(choice);
    if (state.finish !== undefined) return '';
    state.finish = reason;
    return this.chunk(choice, '{}', { finish: writeFinish(reason, state.hasRefusal) });
  }
}
