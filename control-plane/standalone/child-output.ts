import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import { printable, settledCallSchema, settledCallsSchema, type SettledCall, type SettledCalls } from './call-lines.js';

const WARNING = 40;
const ERROR = 50;
const MAX_LENGTH = 400;

/** The part of a pino line that a person is shown. */
const logLineSchema = z.object({
  level: z.number(),
  msg: z.string().default(''),
  err: z.object({ message: z.string() }).optional(),
  /** A message, perhaps with its stack. */
  error: z.string().optional(),
});

/** What a line of a child's output means to the person in front of the terminal. */
export type ChildLine =
  | { readonly kind: 'call'; readonly call: SettledCall | SettledCalls }
  | { readonly kind: 'fault'; readonly text: string }
  | { readonly kind: 'silent' };

const settledSchema = z.discriminatedUnion('event', [settledCallSchema, settledCallsSchema]);

const SILENT: ChildLine = { kind: 'silent' };

/** Reads a line of a program of ours: settled calls, warnings and errors are shown, all else is only in its log. */
export function readChildLine(line: string): ChildLine {
  const value = parseLine(line);
  if (value === null) return SILENT;
  const call = settledSchema.safeParse(value);
  if (call.success) return { kind: 'call', call: call.data };
  const entry = logLineSchema.safeParse(value);
  if (!entry.success || entry.data.level < WARNING) return SILENT;
  const { level, msg, err, error } = entry.data;
  const cause = err?.message ?? error?.split('\n')[0];
  const text = cause === undefined || msg.includes(cause) ? msg : `${msg} (${cause})`;
  return { kind: 'fault', text: printable(`${level < ERROR ? 'warning' : 'error'}: ${text}`).slice(0, MAX_LENGTH) };
}

/** Answers to connections that come before it serves, or after; whoever connects tries again. */
const PASSING = /^(the database system is|terminating connection)/;

/** PostgreSQL's own log: what it calls FATAL or PANIC is shown; a statement's ERROR is its sender's to report. */
export function readPostgresLine(line: string): ChildLine {
  const match = /(?:FATAL|PANIC): {2}(.*)$/.exec(line);
  return match === null || PASSING.test(match[1] ?? '')
    ? SILENT
    : { kind: 'fault', text: printable(`error: ${match[1] ?? ''}`).slice(0, MAX_LENGTH) };
}

/** Redis marks warnings, its banner among them, with `#`. Nothing it says matters unless it ends, which is told anyway. */
export function readRedisLine(): ChildLine {
  return SILENT;
}

function parseLine(line: string): unknown {
  if (!line.startsWith('{')) return null;
  try {
    return parseJson(line);
  } catch {
    return null;
  }
}

/** Prints lines, at most `perSecond`; then one that says how many more there were and where they can be read. */
export function createFaultLines(options: {
  readonly print: (line: string) => void;
  readonly logFolder: string;
  readonly perSecond?: number;
}): (line: string) => void {
  const { print, logFolder, perSecond = 10 } = options;
  let count = 0;
  const endSecond = () => {
    if (count > perSecond) print(`… and ${count - perSecond} more warnings, see ${logFolder}`);
    count = 0;
  };
  return (line) => {
    if (count === 0) setTimeout(endSecond, 1000).unref();
    count += 1;
    if (count <= perSecond) print(line);
  };
}
