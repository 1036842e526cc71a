import { z } from 'zod';
import { itemSchema } from '../chat/responses-request.js';
import { NO_TOKENS, type TokenCount } from '../tokens.js';
import { secondsOf, tokensHeard } from './sound.js';
import { errorFields, giveResponse, responseSchema, type ResponseWish, type SessionLinks } from './response.js';

/** One conversation over a Realtime connection. */
export interface RealtimeSession {
  /** Takes one message of the caller, a JSON text. Messages are worked off in order, but for a cancellation. */
  readonly receive: (text: string) => Promise<void>;
  /** What its responses have cost so far, as far as they were sent. */
  readonly spent: () => { readonly tokens: TokenCount; readonly audioSeconds: number; readonly toldUsage: boolean };
}

const messageSchema = z.looseObject({
  type: z.string(),
  item: itemSchema.extend({ id: z.string().optional() }).optional(),
  session: responseSchema.loose().optional(),
  response: responseSchema.optional(),
  audio: z.string().optional(),
});
const transcriptionSchema = z.object({ model: z.string() });
/** Under the name of the API, and under that of its preview. */
const transcribedSchema = z.union([
  z.object({ audio: z.object({ input: z.object({ transcription: transcriptionSchema }) }) }),
  z.object({ input_audio_transcription: transcriptionSchema }),
]);
type Message = z.infer<typeof messageSchema>;
type Handlers = Readonly<Record<string, (message: Message) => void | Promise<void>>>;

/**
 * Follows https://platform.openai.com/docs/api-reference/realtime-client-events as far as text goes: session.update,
 * conversation.item.create, response.create, response.cancel; input_audio_buffer.append, .commit and .clear are counted
 * in seconds, and in tokens of the responses that follow. Where the session names `sim-transcription`, what is committed is
 * transcribed, at a token for each of sound and three of text. With `output_modalities: ["audio"]` each word comes with a
 * token of sound. Directives are read from the last user text; `die-after` and `chunk-delay` mind the deltas.
 */
export function createSession(links: SessionLinks): RealtimeSession {
  const { model, gone } = links;
  let events = 0;
  const send = (type: string, fields: object): void => {
    events += 1;
    if (!gone.aborted) links.send({ type, event_id: `event_sim${events}`, ...fields });
  };
  const fail = (message: string, code: string | null = null): void => {
    send('error', errorFields('invalid_request_error', message, code));
  };
  let session: ResponseWish & Record<string, unknown> = {};
  const items: object[] = [];
  const spent = { tokens: NO_TOKENS, audioSeconds: 0, toldUsage: false };
  let responses = 0;
  let soundTokens = 0;
  let isCancelled = false;
  const addItem = (item: object): void => {
    const numbered = { id: `item_sim${items.length}`, object: 'realtime.item', status: 'completed', ...item };
    items.push(numbered);
    send('conversation.item.added', { previous_item_id: null, item: numbered });
    send('conversation.item.done', { previous_item_id: null, item: numbered });
  };

  const respond = async (wish: ResponseWish): Promise<void> => {
    responses += 1;
    isCancelled = false;
    const number = responses;
    const asked = { ...session, ...wish };
    const conversation = { items, soundTokens };
    const given = await giveResponse({ links, send, asked, ...conversation, number, isCancelled: () => isCancelled });
    items.push(...given.output);
    spent.tokens = add(spent.tokens, given.tokens);
    spent.toldUsage ||= given.toldUsage;
  };

  const hear = (bytes: number): void => {
    spent.audioSeconds += secondsOf(bytes);
    const heard = tokensHeard(bytes);
    soundTokens += heard;
    if (!transcribedSchema.safeParse(session).success) return;
    spent.tokens = add(spent.tokens, { ...NO_TOKENS, prompt: heard, completion: TRANSCRIPT_TOKENS });
    send('conversation.item.input_audio_transcription.completed', transcribed(`item_sim${items.length - 1}`, heard));
  };

  const handlers: Handlers = {
    'session.update': (message) => {
      session = { ...session, ...message.session };
      send('session.updated', { session: showSession(model, session) });
    },
    'conversation.item.create': ({ item }) => {
      if (item) addItem(item);
      else fail("Missing required parameter: 'item'.");
    },
    ...audioHandlers({ send, addItem, hear }),
    'response.create': ({ response = {} }) => respond(response),
  };

  let working: Promise<void> = Promise.resolve();
  send('session.created', { session: showSession(model, session) });
  return {
    receive: (text) => {
      const message = readMessage(text);
      if (message?.type === 'response.cancel') {
        isCancelled = true;
        return working;
      }
      working = working.then(async () => {
        if (!message) {
          fail('The message is no event of the Realtime API.', 'invalid_event');
          return;
        }
        const handle = handlers[message.type];
        if (handle) await handle(message);
        else fail(`The simulator knows no event '${message.type}'.`, 'unknown_event');
      });
      return working;
    },
    spent: () => spent,
  };
}

function showSession(model: string, session: object): object {
  return { type: 'realtime', object: 'realtime.session', id: 'sess_sim', model, ...session };
}

/** Collects what the caller says, until it is committed. */
function audioHandlers(links: {
  send: (type: string, fields: object) => void;
  addItem: (item: object) => void;
  hear: (bytes: number) => void;
}): Handlers {
  let bytes = 0;
  return {
    'input_audio_buffer.append': ({ audio = '' }) => {
      bytes += Buffer.from(audio, 'base64').length;
    },
    'input_audio_buffer.clear': () => {
      bytes = 0;
      links.send('input_audio_buffer.cleared', {});
    },
    'input_audio_buffer.commit': () => {
      links.send('input_audio_buffer.committed', { previous_item_id: null });
      links.addItem({ type: 'message', role: 'user', content: [{ type: 'input_audio', transcript: null }] });
      links.hear(bytes);
      bytes = 0;
    },
  };
}

/** What any sound says. */
const TRANSCRIPT = 'so it said';
const TRANSCRIPT_TOKENS = 3;

function transcribed(itemId: string, heard: number): object {
  const usage = {
    type: 'tokens',
    input_tokens: heard,
    input_token_details: { text_tokens: 0, audio_tokens: heard },
    output_tokens: TRANSCRIPT_TOKENS,
    total_tokens: heard + TRANSCRIPT_TOKENS,
  };
  return { item_id: itemId, content_index: 0, transcript: TRANSCRIPT, usage };
}

function readMessage(text: string): Message | undefined {
  try {
    return messageSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function add(one: TokenCount, other: TokenCount): TokenCount {
  return {
    prompt: one.prompt + other.prompt,
    completion: one.completion + other.completion,
    cached: one.cached + other.cached,
    cacheWrite: one.cacheWrite + other.cacheWrite,
    reasoning: one.reasoning + other.reasoning,
  };
}
