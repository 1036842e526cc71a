/** What providers of other dialects stream: the words given, one an event, and the usage. */

/** https://platform.claude.com/docs/en/build-with-claude/streaming */
export function anthropicStream(words: readonly string[]): string {
  const usage = { input_tokens: 212, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1 };
  const message = { id: 'msg_bench', type: 'message', role: 'assistant', model: 'bench', content: [], usage };
  const events = [
    { type: 'message_start', message: { ...message, stop_reason: null, stop_sequence: null } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    ...words.map((word) => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: `${word} ` },
    })),
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 160 } },
    { type: 'message_stop' },
  ];
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
}

/** https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent */
export function geminiStream(words: readonly string[]): string {
  const answers = [...words.map((word) => `${word} `), ''].map((text, index) => ({
    candidates: [
      {
        content: { parts: [{ text }], role: 'model' },
        ...(index === words.length && { finishReason: 'STOP' }),
        index: 0,
      },
    ],
    usageMetadata: { promptTokenCount: 212, candidatesTokenCount: index * 8, totalTokenCount: 212 + index * 8 },
    modelVersion: 'bench',
    responseId: 'bench0000000000000000',
  }));
  return answers.map((answer) => `data: ${JSON.stringify(answer)}\r\n\r\n`).join('');
}
