import type {
  AssistantPart,
  ChatAnswer,
  ChatDialect,
  ChatEvent,
  FinishReason,
} from '../../data-plane/dialects/chat/chat.js';

interface Gathered {
  /** In the form of a whole answer, so that a stream can be compared with one. */
  readonly answer: ChatAnswer;
  readonly events: readonly ChatEvent[];
  /** Whether the stream said that it had finished. */
  readonly isWhole: boolean;
}

/** Reads the text of a stream, each event on a line of data, as a dialect does, and puts its answer together. */
export function gatherChatStream(dialect: ChatDialect, stream: string): Gathered {
  const reader = dialect.createStreamReader();
  const events: ChatEvent[] = [];
  for (const event of stream.split(/\r?\n\r?\n/)) {
    const data = /^data: ?([^\r\n]*)/m.exec(event)?.[1];
    const name = /^event: ?([^\r\n]*)/m.exec(event)?.[1];
    if (data !== undefined) events.push(...reader.push({ event: name, data }));
  }
  return { answer: gatherAnswer(events), events, isWhole: reader.end() };
}

function gatherAnswer(events: readonly ChatEvent[]): ChatAnswer {
  let answer: ChatAnswer = { id: '', model: '', choices: [], usage: undefined };
  const choices: { content: AssistantPart[]; finish: FinishReason }[] = [];
  for (const event of events) {
    if (event.kind === 'start') answer = { ...answer, id: event.id, model: event.model };
    else if (event.kind === 'usage') answer = { ...answer, usage: event.usage };
    else if (event.kind !== 'error') {
      const choice = (choices[event.choice] ??= { content: [], finish: 'stop' });
      if (event.kind === 'finish') choice.finish = event.reason;
      else gatherPart(choice.content, event);
    }
  }
  return { ...answer, choices };
}

function gatherPart(content: AssistantPart[], event: ChatEvent): void {
  const last = content.at(-1);
  const replaceLast = (part: AssistantPart): void => {
    content[content.length - 1] = part;
  };
  switch (event.kind) {
    case 'text':
    case 'refusal':
    case 'reasoning': {
      const { kind, text } = event;
      const isSealed = last?.kind === 'reasoning' && (last.signature ?? last.redacted) !== undefined;
      if (last?.kind === kind && !isSealed) replaceLast({ ...last, text: last.text + text });
      else content.push({ kind, text });
      return;
    }
    case 'reasoning-signature':
      if (last?.kind === 'reasoning') replaceLast({ ...last, signature: event.signature });
      return;
    case 'reasoning-redacted':
      content.push({ kind: 'reasoning', text: '', redacted: event.data });
      return;
    case 'tool-call': {
      const { id, name, signature } = event;
      const call = { kind: 'tool-call', id, name, argumentsJson: '' } as const;
      content.push(signature === undefined ? call : { ...call, signature });
      return;
    }
    case 'tool-arguments': {
      const call = content.filter((part) => part.kind === 'tool-call')[event.index];
      const position = call === undefined ? -1 : content.indexOf(call);
      if (call !== undefined) content[position] = { ...call, argumentsJson: call.argumentsJson + event.json };
      return;
    }
    case 'start':
    case 'finish':
    case 'usage':
    case 'error':
  }
}
