import type { FinishReason } from '../chat.js';

/**
 * https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
 * A turn that the vendor paused has ended as far as the other dialects can say, and so has one for a reason to come.
 */
const FINISH_REASONS: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  pause_turn: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool-calls',
  refusal: 'refusal',
};

const STOP_REASONS = {
  stop: 'end_turn',
  length: 'max_tokens',
  'tool-calls': 'tool_use',
  // The vendor's one word for an answer that was withheld, whoever withheld it.
  'content-filter': 'refusal',
  refusal: 'refusal',
} as const satisfies Record<FinishReason, string>;

export function readStopReason(reason: unknown): FinishReason {
  return (typeof reason === 'string' ? FINISH_REASONS[reason] : undefined) ?? 'stop';
}

/** The three fields that say in an answer, or at the end of a stream, why it ended. */
export interface Stop {
  readonly stop_reason: string;
  readonly stop_sequence: string | null;
  readonly stop_details: {
    readonly type: 'refusal';
    readonly category: null;
    readonly explanation: string | null;
  } | null;
}

/** @param end.refusal what the model said in place of an answer: here no part of the content, but the stop's explanation */
export function writeStop(end: {
  readonly finish: FinishReason;
  readonly stopSequence: string | undefined;
  readonly refusal: string;
}): Stop {
  if (end.refusal !== '' || STOP_REASONS[end.finish] === 'refusal') {
    const explanation = end.refusal === '' ? null : end.refusal;
    return {
      stop_reason: 'refusal',
      stop_sequence: null,
      stop_details: { type: 'refusal', category: null, explanation },
    };
  }
  if (end.finish === 'stop' && end.stopSequence !== undefined) {
    return { stop_reason: 'stop_sequence', stop_sequence: end.stopSequence, stop_details: null };
  }
  return { stop_reason: STOP_REASONS[end.finish], stop_sequence: null, stop_details: null };
}
