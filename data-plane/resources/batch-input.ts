import { isUtf8 } from 'node:buffer';
import { setImmediate } from 'node:timers/promises';
import type { UsageBounds } from '@pingtoken/shared/dearest-price';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { Operation } from '@pingtoken/shared/usage-event';
import { END_USER_FIELDS, endUserSplices, type EndUserSetting } from '../dialects/end-user.js';
import { isModelName, MeteredKeys, readJsonBody } from '../dialects/json-request.js';
import type { Range, Splice } from '../dialects/json-scanner.js';
import { assumedUsage } from '../dialects/operations/assumed-usage.js';
import { findStoredReferences } from '../dialects/stored-references.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { providerToolsOf } from '../leases/provider-tools.js';
import { usageBoundsOf, type ModelLimits } from '../leases/usage-bounds.js';
import { RequestLook } from '../route/request-facts.js';
import { addLine, NO_REACH, type BatchReach } from './batch-reach.js';
import { BATCH_OPERATIONS, isBatchEndpoint, type BatchEndpoint } from './batch-submission.js';

/** A batch's input file, judged line by line: every line asks the same of the same model. */
export interface BatchInput {
  readonly model: string;
  readonly endpoint: BatchEndpoint;
  readonly operation: Operation;
  readonly reach: BatchReach;
  /** The first that names something which the provider keeps: it is there only for whose account it is. */
  readonly stored: { readonly line: number; readonly field: string } | undefined;
  /** The model's name in each line, and what each says of an end user. */
  edits(upstreamModel: string): readonly Splice[];
}

export interface BatchInputOptions {
  readonly setting: EndUserSetting;
  /** Of a model by its alias. */
  readonly limitsOf: (model: string) => ModelLimits | undefined;
}

/** https://platform.openai.com/docs/guides/batch#rate-limits */
const MAX_LINES = 50_000;
const MAX_CUSTOM_ID_CHARACTERS = 512;
const NEWLINE = 10;
/** Some milliseconds of work. */
const SLICE_BYTES = 64 * 1024;

const LINE_KEYS = new MeteredKeys('custom_id', 'method', 'url', 'body');
const BODY_KEYS = new MeteredKeys('model', 'stream', 'background', ...END_USER_FIELDS.openai);

interface Line {
  readonly customId: string;
  readonly endpoint: BatchEndpoint;
  readonly model: string;
  readonly modelRange: Range;
  readonly endUserSplices: readonly Splice[];
  readonly storedField: string | undefined;
  /** The most that it can use. */
  readonly bounds: UsageBounds;
  /** The provider may do something for it by itself, as often as it likes. */
  readonly isUnbounded: boolean;
}

/**
 * Reads a file of JSON lines without holding more of it, parsed, than one. A line that could be read in two ways, or that
 * another of the file does not agree with, is a refusal that names it: what is billed is what was judged here. A large file is
 * read in slices, for other calls wait meanwhile.
 * @param bytes the whole of `file`, whose ranges the splices are of
 */
export async function readBatchInput(file: Buffer, options: BatchInputOptions): Promise<BatchInput | Refusal> {
  if (!isUtf8(file)) return refuse('malformed_json', 'file', 'The file is not valid UTF-8.');
  const customIds = new Set<string>();
  const models: Range[] = [];
  const endUsers: Splice[] = [];
  let first: Line | undefined;
  let reach = NO_REACH;
  let stored: BatchInput['stored'];
  let sliceEnd = SLICE_BYTES;
  for (const { number, start, end } of linesOf(file)) {
    const line = readLine(file.subarray(start, end), options);
    if (isRefusal(line)) return atLine(number, line);
    first ??= line;
    const fault = disagreement(line, first, customIds) ?? (customIds.size >= MAX_LINES ? TOO_MANY : undefined);
    if (fault !== undefined) return atLine(number, refuse('invalid_request', 'file', fault));
    customIds.add(line.customId);
    reach = addLine(reach, line.bounds, line.isUnbounded);
    models.push(shift(line.modelRange, start));
    if (line.storedField !== undefined) stored ??= { line: number, field: line.storedField };
    for (const splice of line.endUserSplices) endUsers.push({ ...splice, ...shift(splice, start) });
    if (end < sliceEnd) continue;
    sliceEnd = end + SLICE_BYTES;
    await setImmediate();
  }
  if (first === undefined) return refuse('invalid_request', 'file', 'The file has no lines.');
  const { model, endpoint } = first;
  return {
    model,
    endpoint,
    operation: BATCH_OPERATIONS[endpoint],
    reach,
    stored,
    edits: (upstreamModel) => {
      const bytes = Buffer.from(JSON.stringify(upstreamModel));
      const renamed = upstreamModel === model ? [] : models.map((range) => ({ ...range, bytes }));
      return [...renamed, ...endUsers].sort((one, other) => one.start - other.start);
    },
  };
}

const TOO_MANY = `A batch has at most ${MAX_LINES} lines.`;

function* linesOf(file: Buffer): Generator<Range & { readonly number: number }> {
  let number = 0;
  for (let start = 0; start < file.length;) {
    const newline = file.indexOf(NEWLINE, start);
    const end = newline === -1 ? file.length : newline;
    number += 1;
    if (!isBlank(file, start, end)) yield { number, start, end };
    start = end + 1;
  }
}

function isBlank(file: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    const byte = file[at];
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false;
  }
  return true;
}

/** Attack: a second model in the same file, of a dearer price, or the same line twice under one name, of which one is billed. */
function disagreement(line: Line, first: Line, customIds: ReadonlySet<string>): string | undefined {
  if (line.model !== first.model) return 'All lines of a batch must name one and the same model.';
  if (line.endpoint !== first.endpoint) return 'All lines of a batch must have one and the same url.';
  return customIds.has(line.customId) ? 'The custom_id is of an earlier line.' : undefined;
}

function atLine(number: number, { refused, message, param }: Refusal): Refusal {
  const field = param === null || param === 'file' ? '' : ` ("${param}")`;
  return refuse(refused, 'file', `Line ${number}${field}: ${message ?? ERROR_CODES[refused].message}`);
}

function readLine(bytes: Buffer, options: BatchInputOptions): Line | Refusal {
  const line = readJsonBody(bytes, LINE_KEYS);
  if (isRefusal(line)) return line;
  const { custom_id: customId, method, url } = line.fields;
  if (typeof customId !== 'string' || customId === '' || customId.length > MAX_CUSTOM_ID_CHARACTERS) {
    return invalid('custom_id', 'A text that names the line is needed.');
  }
  if (method !== 'POST') return invalid('method', 'The method must be POST.');
  if (!isBatchEndpoint(url)) return invalid('url', 'The url is none that a batch can ask for.');
  const range = line.scan.values.get('body');
  if (range === undefined) return invalid('body', 'The body is missing.');
  const body = readBody(bytes.subarray(range.start, range.end), url, options);
  if (isRefusal(body)) return body;
  return {
    customId,
    endpoint: url,
    model: body.model,
    modelRange: shift(body.modelRange, range.start),
    storedField: body.storedField,
    bounds: body.bounds,
    isUnbounded: body.isUnbounded,
    endUserSplices: body.endUserSplices.map((splice) => ({ ...splice, ...shift(splice, range.start) })),
  };
}

function readBody(
  bytes: Buffer,
  url: BatchEndpoint,
  { setting, limitsOf }: BatchInputOptions,
): Pick<Line, 'model' | 'modelRange' | 'endUserSplices' | 'storedField' | 'bounds' | 'isUnbounded'> | Refusal {
  const body = readJsonBody(bytes, BODY_KEYS);
  if (isRefusal(body)) return body;
  const { fields, scan } = body;
  const { model, stream, background } = fields;
  const modelRange = scan.values.get('model');
  if (!isModelName(model) || modelRange === undefined) return invalid('model', 'A model is needed.');
  if (stream !== undefined && stream !== null && stream !== false) return invalid('stream', 'A batch has no streams.');
  if ((background ?? false) !== false) return invalid('background', 'A batch is in the background itself.');
  const [stored] = findStoredReferences('openai', BATCH_OPERATIONS[url], bytes).filter(
    ({ isGiven }) => isGiven !== true,
  );
  return {
    model,
    modelRange,
    storedField: stored?.field,
    ...boundsOf(bytes, { operation: BATCH_OPERATIONS[url], model }, limitsOf(model)),
    endUserSplices: endUserSplices({ dialect: 'openai', bytes, values: scan.values, setting }),
  };
}

/** As if it were a call by itself. */
function boundsOf(
  body: Buffer,
  { operation, model }: { readonly operation: (typeof BATCH_OPERATIONS)[BatchEndpoint]; readonly model: string },
  limits: ModelLimits | undefined,
): Pick<Line, 'bounds' | 'isUnbounded'> {
  const request = { headers: {} };
  const look = { operation, model, body, request, dialect: 'openai', streamed: false, admittedAt: 0 } as const;
  const facts = new RequestLook(look);
  const fields = facts.fields();
  return {
    bounds: usageBoundsOf({ operation, body, facts, assumedUsage: assumedUsage(operation, fields) }, limits),
    isUnbounded: providerToolsOf(fields, operation)?.unboundedField !== undefined,
  };
}

function invalid(field: string, message: string): Refusal {
  return refuse('invalid_request', field, message);
}

function shift({ start, end }: Range, by: number): Range {
  return { start: start + by, end: end + by };
}
