/**
 * Segments of paths whose use is counted in tokens: our own handlers serve them, or nobody does. What lies below them is
 * metered too (`/responses/compact`), and batches run them later, where no answer passes us that could be counted.
 */
const METERED_SEGMENTS: ReadonlySet<string> = new Set([
  'completions',
  'complete',
  'embeddings',
  'responses',
  'messages',
  'batches',
]);

/** Gemini names the act after a colon: `/models/x:generateContent`. https://ai.google.dev/api/generate-content */
const METERED_ACTS: ReadonlySet<string> = new Set([
  'generatecontent',
  'streamgeneratecontent',
  'embedcontent',
  'batchembedcontents',
  'generatemessage',
  'generatetext',
  'predict',
  'streamrawpredict',
  'rawpredict',
]);

/**
 * Whether a provider could take a path for one that is metered. Servers differ in how often they decode, whether case,
 * doubled, trailing or backward slashes, dot segments, path parameters and trailing dots or blanks matter; so all of it is
 * taken away, and a path is metered if any reader could see it so.
 */
export function isMeteredPath(path: string): boolean {
  const segments = normalise(path);
  if (segments === undefined) return true;
  return segments.some(
    (segment) => METERED_SEGMENTS.has(segment) || METERED_ACTS.has(segment.slice(segment.lastIndexOf(':') + 1)),
  );
}

/** https://platform.openai.com/docs/api-reference/fine-tuning; the third is what the API was called before. */
const FINE_TUNING_SEGMENTS: ReadonlySet<string> = new Set(['fine_tuning', 'fine-tuning', 'fine-tunes', 'tunedmodels']);

/** Whether a provider could take a path for one that trains a model: it would belong to whoever's account it is. */
export function isFineTuningPath(path: string): boolean {
  return normalise(path)?.some((segment) => FINE_TUNING_SEGMENTS.has(segment)) ?? true;
}

const MAX_DECODINGS = 8;

/** @returns segments in lower case, or undefined for what does not come to rest and can only be an attempt to hide */
function normalise(path: string): readonly string[] | undefined {
  let decoded = path;
  for (let round = 0; ; round += 1) {
    if (round === MAX_DECODINGS) return undefined;
    const next = decodeOnce(decoded);
    if (next === decoded) break;
    decoded = next;
  }
  const segments: string[] = [];
  // A decoded `?` or `#` may end the path for a server that decodes before it splits.
  const [pathOnly = ''] = decoded.normalize('NFKC').toLowerCase().split(/[?#]/, 1);
  for (const raw of pathOnly.split(/[/\\]+/)) {
    const [withoutParameters = ''] = raw.split(';', 1);
    // Dots and blanks at the end are dropped by some file systems and servers; control characters end a C string.
    const visible = withoutParameters.replace(/[\p{Cc}\p{Cf}\p{Zs}]/gu, '');
    const segment = visible.replace(/\.+$/, '');
    if (visible === '..') segments.pop();
    else if (segment !== '') segments.push(segment);
  }
  return segments;
}

/** Percent escapes of bytes that are no UTF-8 are left as they are. */
function decodeOnce(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('latin1');
    }
  });
}

/** Segments that every server reads alike. Attack: `/files/..%2fadmin` matches `/files/*` and reaches `/admin`. */
const PLAIN_SEGMENT = /^(?!\.{1,2}$)[A-Za-z0-9\-._~!$&'()*+,=:@]+$/;

/**
 * @param path as the caller spelt it
 * @param pattern a segment `*` stands for any one plain segment
 */
export function matchesPattern(path: string, pattern: string): boolean {
  const segments = path.split('/');
  const expected = pattern.split('/');
  if (segments.length !== expected.length) return false;
  return expected.every((want, index) => {
    const segment = segments[index] ?? '';
    return want === '*' ? PLAIN_SEGMENT.test(segment) : want === segment;
  });
}
