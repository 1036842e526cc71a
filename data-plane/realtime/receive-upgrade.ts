import type { IncomingMessage } from 'node:http';
import { isModelName } from '../dialects/json-request.js';
import { isRefusal, refuse, type Answer, type Refusal } from '../http-error.js';
import type { HeadRefusal } from '../endpoints.js';
import { receive, type Received } from '../receive.js';

/** The head of a request for a session. */
export type SessionRequest = Received & {
  /** The alias that the caller named. */
  readonly model: string;
  /** The caller speaks the events of the preview, whose names differ. */
  readonly isPreview: boolean;
};

const KEY_PROTOCOL = 'openai-insecure-api-key.';
const PREVIEW_PROTOCOL = 'openai-beta.realtime-v1';
const PREVIEW_HEADER = 'realtime=v1';
/** The one that is agreed upon, where the caller offers it. */
export const SESSION_PROTOCOL = 'realtime';

/** Whether a request is one for a session: all others are answered as if they did not speak of an upgrade. */
export function asksForSession({ headers, url = '' }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket' && SESSION_PATH.test(url);
}

const SESSION_PATH = /^(?:\/api)?\/v1\/realtime(?:\?|$)/;

/**
 * Reads the head. Whatever the WebSocket library would refuse later, in words of its own and when the provider has been
 * called already, is refused here. RFC 6455, 4.2.1; https://platform.openai.com/docs/guides/realtime-websocket
 *
 * A browser cannot set headers, so its key comes as a subprotocol, and is put where every other caller's stands. What page
 * the browser shows (`Origin`) is not judged: the key alone says who calls, and no cookie ever does.
 */
export function receiveUpgrade(answer: Answer): SessionRequest | HeadRefusal {
  const received = receive(answer);
  if (isRefusal(received)) return received;
  const { request } = received;
  const headFault = checkHead(request);
  if (headFault !== undefined) return headFault;
  const protocols = readProtocols(request.headers['sec-websocket-protocol']);
  if (protocols === undefined) return refuse('invalid_request', null, 'The subprotocols are not valid.');
  const key = protocols.find((protocol) => protocol.startsWith(KEY_PROTOCOL))?.slice(KEY_PROTOCOL.length);
  if (key !== undefined) request.headers.authorization ??= `Bearer ${key}`;
  const model = readModel(request.url ?? '');
  if (isRefusal(model)) return model;
  const isPreview = request.headers['openai-beta'] === PREVIEW_HEADER || protocols.includes(PREVIEW_PROTOCOL);
  return { ...received, model: model.name, isPreview };
}

const WEBSOCKET_KEY = /^[+/0-9A-Za-z]{22}==$/;

function checkHead({ headers, httpVersion }: IncomingMessage): Refusal | undefined {
  const { 'sec-websocket-version': version, 'sec-websocket-key': key = '' } = headers;
  const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
  if (version !== '13' || httpVersion !== '1.1') return refuse('upgrade_required');
  if (hasBody || !WEBSOCKET_KEY.test(key)) return refuse('invalid_request', null, 'The handshake is not valid.');
  return undefined;
}

/** RFC 9110, 5.6.2 */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/** @returns undefined where they are no list of different tokens */
function readProtocols(header: string | undefined): readonly string[] | undefined {
  if (header === undefined) return [];
  const protocols = header.split(',').map((protocol) => protocol.trim());
  const isList = protocols.every((protocol) => TOKEN.test(protocol)) && new Set(protocols).size === protocols.length;
  return isList ? protocols : undefined;
}

/** `key`: read by `authenticate`, and no part of what the provider is asked for. */
const PARAMETERS: ReadonlySet<string> = new Set(['model', 'key']);

/**
 * Attack: `call_id` joins a session that runs at the provider under our credential, whoever has opened it. So what is not
 * known here is refused, and the address for the provider is made anew.
 */
function readModel(url: string): { readonly name: string } | Refusal {
  const queryAt = url.indexOf('?');
  const query = new URLSearchParams(queryAt === -1 ? '' : url.slice(queryAt + 1));
  for (const name of query.keys()) {
    if (!PARAMETERS.has(name)) return refuse('unsupported_field', null, 'No parameter but "model" can be used here.');
  }
  const [name, ...others] = query.getAll('model');
  if (others.length > 0) return refuse('duplicate_field', 'model');
  return isModelName(name) ? { name } : refuse('invalid_request', 'model', 'Name the model: ?model=NAME.');
}
