import { KEPT_BODY_BYTES, type Body } from './body.js';

/** One request as it arrived, for `GET /received/:id`. */
export interface Reception {
  readonly requestId: string;
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  /** Node's flat list: name, value, name, value, in order and spelling as they came, repeated headers apart. */
  readonly rawHeaders: readonly string[];
  readonly body: Body;
}

/** What `GET /received/:id` answers: the latest request of that id, and earlier ones that are still kept. */
export type ReceptionReport = ReceptionView & { readonly earlier: ReceptionView[] };

interface ReceptionView {
  readonly requestId: string;
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly headers: [string, string][];
  readonly bodyBase64: string;
  readonly bodyLength: number;
  readonly bodySha256: string;
  /** Whether `bodyBase64` holds only the first bytes. Length and hash are of the whole body all the same. */
  readonly bodyTruncated: boolean;
}

/** The latest requests, verbatim. Holds credentials: the instrument belongs on loopback or in a test network. */
export interface Receptions {
  readonly add: (reception: Reception) => void;
  readonly ids: () => string[];
  readonly report: (requestId: string) => ReceptionReport | undefined;
  readonly clear: () => void;
}

/**
 * Keeps the latest `keep` requests, with at most 1 MiB of each body and at most `keepBytes` of all bodies together;
 * the oldest give way first.
 */
export function createReceptions({ keep = 1000, keepBytes = 64 * 1024 * 1024 } = {}): Receptions {
  // A Map iterates in the order of insertion, so its first entry is the oldest.
  const kept = new Map<number, Reception>();
  let next = 0;
  let bytes = 0;
  const dropOldest = (): void => {
    for (const [number, { body }] of kept) {
      kept.delete(number);
      bytes -= body.bytes.length;
      return;
    }
  };
  return {
    add: (reception) => {
      const body = shorten(reception.body);
      kept.set(next, { ...reception, body });
      next += 1;
      bytes += body.bytes.length;
      while (kept.size > keep || (bytes > keepBytes && kept.size > 1)) dropOldest();
    },
    ids: () => Array.from(kept.values(), ({ requestId }) => requestId).reverse(),
    report: (requestId) => {
      const matching = [...kept.values()].filter((each) => each.requestId === requestId).map(view);
      const latest = matching.pop();
      return latest && { ...latest, earlier: matching.reverse() };
    },
    clear: () => {
      kept.clear();
      bytes = 0;
    },
  };
}

function shorten(body: Body): Body {
  if (body.bytes.length <= KEPT_BODY_BYTES) return body;
  return { ...body, bytes: Buffer.from(body.bytes.subarray(0, KEPT_BODY_BYTES)) };
}

function view({ requestId, method, url, httpVersion, rawHeaders, body }: Reception): ReceptionView {
  const headers: [string, string][] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    headers.push([rawHeaders[index] ?? '', rawHeaders[index + 1] ?? '']);
  }
  return {
    requestId,
    method,
    url,
    httpVersion,
    headers,
    bodyBase64: body.bytes.toString('base64'),
    bodyLength: body.length,
    bodySha256: body.sha256(),
    bodyTruncated: body.bytes.length < body.length,
  };
}
