import { refuse, type Refusal } from '../http-error.js';
import type { Range } from './json-scanner.js';

/**
 * Reads where the parts of a multipart body stand (RFC 7578), so that a field's value can be replaced without touching any
 * other byte. It does not read what it finds as well as it can, but refuses whatever two readers could read differently:
 * attack: a body of which we see the cheap model and the provider the dear one.
 */
export interface FormPart {
  readonly name: string;
  readonly isFile: boolean;
  /** Of the text that is none, by its own word: another charset, another media type. */
  readonly isPlainText: boolean;
  readonly content: Range;
  /** From the boundary before it up to the boundary behind it. */
  readonly whole: Range;
}

/** RFC 2046, 5.1.1; without quotes only what every reader takes for a part of a token. No other parameter means anything. */
const CONTENT_TYPE =
  /^multipart\/form-data[ \t]*;[ \t]*boundary=(?:"([0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?])"|([0-9A-Za-z'+_.-]{1,70}))$/i;

/** @returns undefined where the content type is none of a form, or one that could be read in several ways */
export function boundaryOf(contentType: string): string | undefined {
  const [, quoted, bare] = CONTENT_TYPE.exec(contentType) ?? [];
  return quoted ?? bare;
}

const CRLF = '\r\n';
const END_OF_HEAD = '\r\n\r\n';
const MAX_PARTS = 1_000;
const MAX_HEAD_BYTES = 8 * 1024;

/** @returns the parts in order; their names may be the same */
export function readForm(bytes: Buffer, boundary: string): readonly FormPart[] | Refusal {
  const delimiter = Buffer.from(`--${boundary}`);
  const parts: FormPart[] = [];
  if (!startsWith(bytes, delimiter, 0)) return malformed('does not begin with its boundary');
  let start = 0;
  for (;;) {
    const headStart = start + delimiter.length;
    const mark = bytes.toString('latin1', headStart, headStart + 2);
    if (mark === '--') return isEnd(bytes, headStart + 2) ? parts : malformed('goes on behind its end');
    if (mark !== CRLF) return malformed('has a boundary that is followed by something else than a line end');
    if (parts.length === MAX_PARTS) return malformed(`has more than ${MAX_PARTS} parts`);
    const next = bytes.indexOf(delimiter, headStart);
    if (next === -1) return malformed('has no end');
    // Some readers take a bare line feed before a boundary, or none: there is no boundary that only some of them see.
    if (bytes.toString('latin1', next - 2, next) !== CRLF) return malformed('has its boundary inside of a line');
    const headEnd = bytes.indexOf(END_OF_HEAD, headStart);
    if (headEnd === -1 || headEnd + END_OF_HEAD.length > next - 2) return malformed('has a part without a head');
    if (headEnd - headStart > MAX_HEAD_BYTES) return malformed('has a part with too long a head');
    const head = readHead(bytes.toString('latin1', headStart + 2, headEnd));
    if (typeof head === 'string') return malformed(head);
    const content = { start: headEnd + END_OF_HEAD.length, end: next - 2 };
    parts.push({ ...head, content, whole: { start, end: next } });
    start = next;
  }
}

function malformed(what: string): Refusal {
  return refuse('invalid_request', null, `The multipart body ${what}.`);
}

function startsWith(bytes: Buffer, wanted: Buffer, at: number): boolean {
  return bytes.subarray(at, at + wanted.length).equals(wanted);
}

function isEnd(bytes: Buffer, at: number): boolean {
  return at === bytes.length || (at + 2 === bytes.length && bytes.toString('latin1', at) === CRLF);
}

/** A field line without folding; values are visible characters, blanks, tabs and what is no ASCII. RFC 9110, 5.5. */
const HEADER = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
const PLAIN_TEXT = /^text\/plain(?:[ \t]*;[ \t]*charset="?(?:utf-8|us-ascii)"?)?$/i;
/** Whatever else changes how the content reads. */
const PLAIN_ENCODINGS = /^(?:7bit|8bit|binary)$/i;

/** @returns what is wrong with it, in words */
function readHead(text: string): Pick<FormPart, 'name' | 'isFile' | 'isPlainText'> | string {
  const headers = new Map<string, string>();
  for (const line of text.split(CRLF)) {
    const [, name, value = ''] = HEADER.exec(line) ?? [];
    if (name === undefined) return 'has a header that cannot be read';
    if (headers.has(name.toLowerCase())) return 'has a part that gives a header twice';
    headers.set(name.toLowerCase(), value);
  }
  const mediaType = headers.get('content-type');
  if (mediaType !== undefined && /^multipart\//i.test(mediaType)) return 'has a form inside of a form';
  if (!PLAIN_ENCODINGS.test(headers.get('content-transfer-encoding') ?? 'binary')) return 'has an encoded part';
  const disposition = readDisposition(headers.get('content-disposition') ?? '');
  if (disposition === undefined) return 'has a part whose name cannot be read';
  return { ...disposition, isPlainText: mediaType === undefined || PLAIN_TEXT.test(mediaType) };
}

/** A quote that is escaped ends the text for some readers and not for others, so there is none. */
const PARAMETER =
  /^[ \t]*;[ \t]*(name|filename|filename\*)=(?:"((?:[^"\\]|\\(?!"))*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z[\]]+))/i;
/** Names that no reader decodes, trims or folds into others. */
const NAME = /^[A-Za-z0-9_.[\]-]+$/;

function readDisposition(value: string): Pick<FormPart, 'name' | 'isFile'> | undefined {
  let rest = /^form-data(?=[ \t]*;)/i.test(value) ? value.slice('form-data'.length) : '';
  const parameters = new Map<string, string>();
  while (rest !== '') {
    const [matched, key, quoted, bare] = PARAMETER.exec(rest) ?? [];
    if (matched === undefined || key === undefined || parameters.has(key.toLowerCase())) return undefined;
    parameters.set(key.toLowerCase(), quoted ?? bare ?? '');
    rest = rest.slice(matched.length);
  }
  const name = parameters.get('name');
  if (name === undefined || !NAME.test(name)) return undefined;
  return { name, isFile: parameters.has('filename') || parameters.has('filename*') };
}
