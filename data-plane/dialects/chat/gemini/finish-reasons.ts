import type { FinishReason } from '../chat.js';

/**
 * Google's many reasons in the few that everybody has. An answer that was withheld, was broken off or could not be made is
 * none that a caller may take for a whole one, so every reason that is not known here is a filter's.
 * https://ai.google.dev/api/generate-content#FinishReason
 */
export function readFinishReason(reason: string, hasCalls: boolean): FinishReason {
  switch (reason) {
    case 'STOP':
    case 'FINISH_REASON_UNSPECIFIED':
      return hasCalls ? 'tool-calls' : 'stop';
    case 'MAX_TOKENS':
    case 'CONTINUATION':
      return 'length';
    default:
      return 'content-filter';
  }
}

export function writeFinishReason(reason: FinishReason): string {
  switch (reason) {
    case 'stop':
    case 'tool-calls':
      return 'STOP';
    case 'length':
      return 'MAX_TOKENS';
    case 'content-filter':
    case 'refusal':
      return 'SAFETY';
  }
}

/** What Google says of calls whose arguments are no JSON object: they are not given, and the answer ends for this reason. */
export function writeMalformedCalls(calls: readonly { readonly name: string; readonly json: string }[]): {
  readonly finishReason: string;
  readonly finishMessage: string;
} {
  const list = calls.map(({ name, json }) => `${name}(${json})`).join(', ');
  return { finishReason: 'MALFORMED_FUNCTION_CALL', finishMessage: `Malformed function call: ${list}` };
}
