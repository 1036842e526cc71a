import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openAiChat } from '../dialects/chat/openai/openai.js';
import { StreamUsage, type StreamUsageOptions } from './stream-usage.js';

const CONTENT = '{"choices":[{"delta":{"content":"héllo 🙂 \\"usage\\": "}}],"usage":null}';
const LAST = '{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}';
const USAGE = '{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}}';

const TAP: StreamUsageOptions = {
  hides: false,
  usageMark: '"usage"',
  onData: () => undefined,
  tierMark: '"service_tier"',
  onTier: () => true,
  cleanError: (data) => data,
};

interface Tapped {
  readonly passed: string;
  readonly usages: readonly object[];
  readonly stream: StreamUsage;
}

function tap(bytes: Buffer, sizes: readonly number[], hides: boolean): Tapped {
  const usages: object[] = [];
  const reader = openAiChat.createUsageReader();
  const stream = new StreamUsage({
    ...TAP,
    hides,
    onData: (data) => {
      const usage = reader.push({ event: undefined, data });
      if (usage !== undefined) usages.push(usage);
    },
  });
  const passed: Buffer[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    passed.push(stream.push(bytes.subarray(at, at + size)));
    at += size;
  }
  passed.push(stream.end());
  return { passed: Buffer.concat(passed).toString(), usages, stream };
}

const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });

/** An event as a list of lines; its data may stand on several. */
const eventArbitrary = fc.constantFrom(
  [`data: ${CONTENT}`],
  [`data:${CONTENT}`],
  [': a comment', `data: ${CONTENT}`],
  [': only a comment'],
  ['event: message', 'id: 7', `data: ${CONTENT}`],
  ['data: {"choices":', 'data: [{"delta":{}}]}'],
  ['data: [DONE]'],
  ['data: "usage"'],
  ['data: {"usage"'],
);

describe('the tap of a stream', () => {
  it('hides the usage chunk alone, however the bytes are cut and the lines end', () => {
    fc.assert(
      fc.property(fc.array(eventArbitrary, { maxLength: 6 }), fc.nat(6), lineEnd, cuts, (events, place, end, sizes) => {
        const write = (list: readonly (readonly string[])[]): string =>
          list.map((lines) => lines.map((line) => line + end).join('') + end).join('');
        const withUsage = [...events.slice(0, place), [`data: ${USAGE}`], ...events.slice(place)];
        const { passed, usages } = tap(Buffer.from(write(withUsage)), sizes, true);
        expect(passed).toBe(write(events));
        expect(usages.at(-1)).toEqual({ input: 5, output: 6, request: 1 });
      }),
      { numRuns: 2000 },
    );
  });

  it('changes no byte for a caller who asked for the usage', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(eventArbitrary, fc.constant([`data: ${USAGE}`]))),
        lineEnd,
        cuts,
        (events, end, sizes) => {
          const text = events.map((lines) => lines.map((line) => line + end).join('') + end).join('');
          expect(tap(Buffer.from(text), sizes, false).passed).toBe(text);
        },
      ),
    );
  });

  it('loses no byte of anything that is no event stream', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), cuts, fc.boolean(), (bytes, sizes, hides) => {
        const stream = new StreamUsage({ ...TAP, hides });
        const out: Buffer[] = [];
        let at = 0;
        for (let turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          out.push(stream.push(Buffer.from(bytes.subarray(at, at + size))));
          at += size;
        }
        expect(Buffer.concat([...out, stream.end()])).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  it('passes each event the moment it is complete', () => {
    const stream = new StreamUsage({ ...TAP, hides: true });
    expect(stream.push(Buffer.from(`data: ${CONTENT}\n`)).length).toBe(0);
    expect(stream.push(Buffer.from('\ndata: {"cho')).toString()).toBe(`data: ${CONTENT}\n\n`);
  });

  it('keeps a chunk that has usage and choices, and takes the last report of several', () => {
    const text = `data: ${LAST}\n\ndata: ${USAGE}\n\n`;
    const { passed, usages } = tap(Buffer.from(text), [1000], true);
    expect(passed).toBe(`data: ${LAST}\n\n`);
    expect(usages.at(-1)).toEqual({ input: 5, output: 6, request: 1 });
  });

  it('passes an event of 1 MB whole, and finds the usage behind it', () => {
    const big = `data: {"choices":[{"delta":{"content":"${'é'.repeat(524_288)}"}}]}\n\n`;
    const { passed, usages } = tap(Buffer.from(`${big}data: ${USAGE}\n\n`), [16_384], true);
    expect(passed).toBe(big);
    expect(usages).toHaveLength(1);
  });

  it('holds no more than it may of an event without end', () => {
    const stream = new StreamUsage({ ...TAP, hides: true });
    let passed = stream.push(Buffer.from('data: ')).length;
    for (let round = 0; round < 80; round += 1) passed += stream.push(Buffer.alloc(65_536, 'x')).length;
    expect(80 * 65_536 + 6 - passed).toBeLessThanOrEqual(4 * 1024 * 1024);
    expect(stream.isInsidePassedEvent).toBe(true);
    expect(stream.push(Buffer.from(`\n\ndata: ${USAGE}\n\ndata: z\n\n`)).toString()).toBe('\n\ndata: z\n\n');
  });

  it('finds the usage of an event that is not finished, and hides it too', () => {
    const { passed, usages } = tap(Buffer.from(`data: ${CONTENT}\n\ndata: ${USAGE}`), [7], true);
    expect(passed).toBe(`data: ${CONTENT}\n\n`);
    expect(usages).toHaveLength(1);
  });

  it('asks no more events for the tier than the first that names it, and few where none does', () => {
    for (const [answer, looks] of [
      [true, 1],
      [false, 4],
    ] as const) {
      let asked = 0;
      const onTier = (): boolean => {
        asked += 1;
        return answer;
      };
      const stream = new StreamUsage({ ...TAP, onTier });
      stream.push(Buffer.from(`data: ${CONTENT}\n\n`));
      for (let each = 0; each < 9; each += 1) stream.push(Buffer.from('data: {"service_tier":"auto"}\n\n'));
      expect(asked).toBe(looks);
    }
  });

  const cleanError = (data: string): string => data.replaceAll('secret', '***');

  it.each([
    ['data: {"error":{"message":"a secret"}}', 'data: {"error":{"message":"a ***"}}'],
    [
      'event: error\ndata: {"type":"error","error":{"message":"secret"}}',
      'event: error\ndata: {"type":"error","error":{"message":"***"}}',
    ],
    ['event:error\r\ndata: not secret', 'event:error\ndata: not ***'],
    [
      'data: {"id":"x","error":{"message":"secret"},"choices":[]}',
      'data: {"id":"x","error":{"message":"***"},"choices":[]}',
    ],
    [': secret\ndata: {"error":\ndata: "secret"}', 'data: {"error":\ndata: "***"}'],
    ['{"error":{"message":"secret"}}', 'data: {"error":{"message":"***"}}'],
  ])('passes an error on without what may not pass, wherever it is cut: %s', (event, passed) => {
    for (const end of ['\n\n', '\r\n\r\n', '\r\r', '']) {
      for (let size = 1; size < event.length + 4; size += 1) {
        const stream = new StreamUsage({ ...TAP, cleanError });
        const bytes = Buffer.from(`data: ${CONTENT}\n\n${event}${end}${end === '' ? '' : 'data: [DONE]\n\n'}`);
        const out: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) out.push(stream.push(bytes.subarray(at, at + size)));
        out.push(stream.end());
        expect(Buffer.concat(out).toString()).toBe(
          `data: ${CONTENT}\n\n${passed}\n\n${end === '' ? '' : 'data: [DONE]\n\n'}`,
        );
        expect(stream.sawError).toBe(true);
      }
    }
  });

  it('leaves an error as it came where nothing has to go, and an answer that speaks of one', () => {
    const text = 'event: error\r\nid: 1\r\ndata: {"type":"error" ,"error":{"message":"overloaded"}}\r\n\r\n';
    const { stream, passed } = tap(Buffer.from(text), [5], false);
    expect(passed).toBe(text);
    expect(stream.sawError).toBe(true);
    const spoken = 'data: {"choices":[{"delta":{"content":"error"}}],"error":null}\n\n';
    expect(tap(Buffer.from(spoken), [5], false).stream.sawError).toBe(false);
  });

  it('notices an error that the provider reports inside the stream', () => {
    expect(tap(Buffer.from('data: {"error":{"message":"x"}}\n\n'), [3], true).stream.sawError).toBe(true);
    expect(
      tap(Buffer.from('data: {"choices":[{"delta":{"content":"{\\"error\\""}}]}\n\n'), [3], true).stream.sawError,
    ).toBe(false);
  });
});
