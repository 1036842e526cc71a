import { once } from 'node:events';
import { WebSocket, type ClientOptions } from 'ws';
import { parseJson } from '@pingtoken/shared/wire';
import { eventually } from './gateway-fixture.js';

export type RealtimeEvent = Readonly<Record<string, unknown>> & { readonly type: string };

/** A session as its caller has it. */
export interface RealtimeCaller {
  readonly socket: WebSocket;
  readonly requestId: string;
  /** All events, in order. */
  readonly heard: readonly RealtimeEvent[];
  say(event: object): void;
  /** Waits for the next event of that type that was not waited for yet. */
  next(type: string): Promise<RealtimeEvent>;
  /** Says a text and waits for the answer to it: the response as its last event has it. */
  ask(text: string): Promise<RealtimeEvent>;
  /** Resolves with the code of the close. */
  readonly closed: Promise<number>;
}

export interface RealtimeTarget {
  /** `http://host:port` */
  readonly url: string;
  readonly bearer?: string;
  readonly path?: string;
  readonly protocols?: readonly string[];
  readonly options?: ClientOptions;
}

/** What was answered in the place of a session. */
export interface UpgradeRefusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly error: { readonly code: string; readonly message: string; readonly type: string; readonly param: unknown };
}

const PATH = '/v1/realtime?model=realtime-alias';

function connect({ url, bearer, path = PATH, protocols = [], options = {} }: RealtimeTarget): WebSocket {
  const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
  return new WebSocket(url.replace(/^http/, 'ws') + path, [...protocols], {
    ...options,
    headers: { ...headers, ...options.headers },
  });
}

/** @throws Error when it was refused */
export async function openSession(target: RealtimeTarget): Promise<RealtimeCaller> {
  const socket = connect(target);
  const heard: RealtimeEvent[] = [];
  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) heard.push(parseJson(data.toString()) as RealtimeEvent);
  });
  const closed = new Promise<number>((resolve) => {
    socket.on('close', resolve);
  });
  let requestId = '';
  socket.on('upgrade', ({ headers }) => {
    requestId = String(headers['x-request-id']);
  });
  await once(socket, 'open');
  socket.on('error', () => undefined);
  let waited = 0;
  const next = async (type: string): Promise<RealtimeEvent> => {
    const find = (): number => heard.findIndex((event, index) => index >= waited && event.type === type);
    await eventually(() => find() >= 0, 10_000).catch(() => {
      const types = heard.map((event) => event.type).join(', ');
      throw new Error(`no ${type} came behind event ${waited} of: ${types}`);
    });
    waited = find() + 1;
    return heard[waited - 1] as RealtimeEvent;
  };
  const say = (event: object): void => {
    socket.send(JSON.stringify(event));
  };
  const ask = async (text: string): Promise<RealtimeEvent> => {
    say(userText(text));
    say({ type: 'response.create' });
    return (await next('response.done'))['response'] as RealtimeEvent;
  };
  return { socket, requestId, heard, say, next, ask, closed };
}

export function userText(text: string): object {
  const content = [{ type: 'input_text', text }];
  return { type: 'conversation.item.create', item: { type: 'message', role: 'user', content } };
}

/** Asks for a session that is not to be had. */
export function expectUpgradeRefused(target: RealtimeTarget): Promise<UpgradeRefusal> {
  return new Promise((resolve, reject) => {
    const socket = connect(target);
    socket.on('error', () => undefined);
    socket.once('open', () => {
      socket.terminate();
      reject(new Error('the session was granted'));
    });
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => {
        socket.terminate();
        const { error } = parseJson(text) as Pick<UpgradeRefusal, 'error'>;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, error });
      });
    });
  });
}
