/** One event of a stream: its JSON, the completion tokens that it carries, and whether it tells the usage. */
export interface Chunk {
  readonly json: string;
  readonly tokens: number;
  readonly tellsUsage: boolean;
  /** The event's name, in dialects that name them. */
  readonly event?: string;
}

/** What a successful answer consists of: a body, or the events of a stream, built as they are sent. */
export type Payload = WholePayload | EventPayload;

export interface WholePayload {
  readonly body: string | Buffer;
  readonly contentType: string;
  readonly tellsUsage: boolean;
}

export interface EventPayload {
  readonly events: Iterable<Chunk>;
  /** The data that ends the stream, where the dialect has any. */
  readonly terminator?: string;
  /** What the dialect says where it breaks off inside a stream. */
  readonly failure: Pick<Chunk, 'event' | 'json'>;
}

export function jsonPayload(value: unknown, tellsUsage = false): WholePayload {
  return { body: JSON.stringify(value), contentType: 'application/json', tellsUsage };
}

interface TypedData {
  readonly type: string;
  readonly [name: string]: unknown;
}

/** An event whose data repeats its name as `type`. */
export function namedEvent(value: TypedData, tokens = 0, tellsUsage = false): Chunk {
  return { event: value.type, json: JSON.stringify(value), tokens, tellsUsage };
}

/** An event of a typed value without a name beside the type. */
export function dataEvent(value: TypedData, tokens = 0, tellsUsage = false): Chunk {
  return { json: JSON.stringify(value), tokens, tellsUsage };
}
