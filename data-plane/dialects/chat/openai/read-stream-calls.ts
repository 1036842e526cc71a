import { isObject } from '../json.js';
import type { ChatEvent } from '../chat.js';
import { madeUpCallId, readArguments } from './read-answer.js';
import { readThoughtSignature } from './thought-signature.js';

interface Call {
  readonly index: number;
  id: string;
  name: string;
  signature: string | undefined;
  /** Arguments that came before the call could be told. */
  held: string;
  isTold: boolean;
}

/**
 * The tool calls of one choice. OpenAI sends id and name with the first piece and counts the calls; others repeat them with
 * every piece, send a call whole, or count wrongly, so a new id is a new call whatever its index.
 */
export class CallReader {
  private readonly calls = new Map<unknown, Call>();
  count = 0;

  constructor(private readonly choice: number) {}

  push(piece: Readonly<Record<string, unknown>>, events: ChatEvent[]): void {
    const details = isObject(piece['function']) ? piece['function'] : {};
    const id = piece['id'];
    const { name, arguments: json } = details;
    const call = this.callOf(piece['index'], typeof id === 'string' ? id : '');
    if (call.name === '' && typeof name === 'string') call.name = name;
    call.signature ??= readThoughtSignature(piece['extra_content']);
    const text = readArguments(json);
    if (call.isTold) {
      if (text !== '') events.push({ kind: 'tool-arguments', choice: this.choice, index: call.index, json: text });
      return;
    }
    call.held += text;
    if (call.name !== '') this.tell(call, events);
  }

  /** A call that never got a name is told at the end, so that it is not lost. */
  flush(events: ChatEvent[]): void {
    for (const call of this.calls.values()) if (!call.isTold) this.tell(call, events);
  }

  private callOf(index: unknown, id: string): Call {
    // Where nobody counts, a piece without an id belongs to the last call.
    const key = typeof index === 'number' ? index : this.keyWithoutIndex(id);
    const known = this.calls.get(key);
    if (known !== undefined && (id === '' || known.id === '' || known.id === id)) {
      if (known.id === '' && !known.isTold) known.id = id;
      return known;
    }
    const call: Call = { index: this.count, id, name: '', signature: undefined, held: '', isTold: false };
    this.count += 1;
    if (known !== undefined) this.calls.set(`${this.count} was replaced`, known);
    this.calls.set(key, call);
    return call;
  }

  private keyWithoutIndex(id: string): unknown {
    return id === '' ? [...this.calls.keys()].at(-1) : id;
  }

  private tell(call: Call, events: ChatEvent[]): void {
    const { choice } = this;
    const { index, name, signature, held } = call;
    call.isTold = true;
    const id = call.id === '' ? madeUpCallId(index) : call.id;
    events.push({ kind: 'tool-call', choice, index, id, name, ...(signature === undefined ? {} : { signature }) });
    if (held !== '') events.push({ kind: 'tool-arguments', choice, index, json: held });
  }
}
