import { invalidRequest, type Refusal } from './errors.js';
import type { ProviderCall } from './provider-call.js';

/** The fields of a multipart form. OpenAI's arrays may be named `image[]`. */
export interface Form {
  /** The first field of that name that is a text, or undefined. */
  readonly text: (name: string) => string | undefined;
  /** Repeated ones in order. */
  readonly files: (name: string) => readonly UploadedFile[];
}

export interface UploadedFile {
  readonly name: string;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

interface Part extends UploadedFile {
  readonly field: string;
  /** A part with a file name is a file, even if that is empty. */
  readonly isFile: boolean;
}

/** Reads a multipart body (RFC 7578), which is held whole. */
export function readForm({ body, headers }: Pick<ProviderCall, 'body' | 'headers'>): { value: Form } | Refusal {
  const contentType = headers['content-type'] ?? '';
  if (!/^multipart\/form-data\b/i.test(contentType)) return invalidRequest('The body must be multipart/form-data.');
  const [, quoted, bare] = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType) ?? [];
  const parts = splitParts(body.bytes, quoted ?? bare ?? '');
  if (!parts) return invalidRequest('We could not parse the multipart body of your request.');
  const find = (name: string) => parts.filter(({ field }) => field.replace(/\[\]$/, '') === name);
  const form: Form = {
    text: (name) =>
      find(name)
        .find(({ isFile }) => !isFile)
        ?.bytes.toString('utf8'),
    files: (name) => find(name).filter(({ isFile }) => isFile),
  };
  return { value: form };
}

/** Undefined where the body is no form of that boundary, or ends before its end. */
function splitParts(bytes: Buffer, boundary: string): Part[] | undefined {
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const parts: Part[] = [];
  if (boundary === '' || !bytes.subarray(0, delimiter.length - 2).equals(delimiter.subarray(2))) return undefined;
  let at = delimiter.length - 2;
  while (bytes.toString('latin1', at, at + 2) !== '--') {
    const end = bytes.indexOf(delimiter, at);
    const headEnd = bytes.indexOf('\r\n\r\n', at);
    if (end < 0 || headEnd < 0 || headEnd > end) return undefined;
    const part = readPart(bytes.toString('utf8', at, headEnd), bytes.subarray(headEnd + 4, end));
    if (!part) return undefined;
    parts.push(part);
    at = end + delimiter.length;
  }
  return parts;
}

function readPart(head: string, bytes: Buffer): Part | undefined {
  const disposition = /^content-disposition:(.*)$/im.exec(head)?.[1] ?? '';
  const field = parameter(disposition, 'name');
  const fileName = parameter(disposition, 'filename');
  if (field === undefined) return undefined;
  const mediaType = /^content-type:\s*(\S+)/im.exec(head)?.[1] ?? 'application/octet-stream';
  return { field, name: fileName ?? '', isFile: fileName !== undefined, mediaType, bytes };
}

/** Quotes and line ends inside a name are percent-encoded, as browsers and clients do. */
function parameter(disposition: string, name: string): string | undefined {
  const value = new RegExp(`;\\s*${name}="([^"]*)"`, 'i').exec(disposition)?.[1];
  return value?.replace(/%(22|0D|0A)/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
