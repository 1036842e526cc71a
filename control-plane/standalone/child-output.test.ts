import { describe, expect, it } from 'vitest';
import { readChildLine, readPostgresLine } from './child-output.js';

describe("a line of a child's output", () => {
  it('is a call when the worker settled one', () => {
    const line = JSON.stringify({
      level: 30,
      event: 'call-settled',
      model: 'm',
      inputTokens: 1,
      outputTokens: 2,
      cost: '0.1',
      currency: 'USD',
      latencyMs: 5,
      outcome: 'completed',
    });
    expect(readChildLine(line)).toMatchObject({ kind: 'call', call: { model: 'm' } });
  });

  it('is shown when it is a warning or an error, with its cause', () => {
    expect(readChildLine('{"level":30,"msg":"listening"}')).toEqual({ kind: 'silent' });
    expect(readChildLine('{"level":40,"msg":"slow"}')).toEqual({ kind: 'fault', text: 'warning: slow' });
    expect(readChildLine('{"level":50,"msg":"no database","err":{"message":"refused"}}')).toEqual({
      kind: 'fault',
      text: 'error: no database (refused)',
    });
  });

  it('names a cause that is given as text, without its stack', () => {
    expect(readChildLine('{"level":60,"msg":"fault","error":"Error: no spool\\n    at x"}')).toEqual({
      kind: 'fault',
      text: 'error: fault (Error: no spool)',
    });
  });

  it('is only logged when it is no log entry', () => {
    for (const line of ['', 'plain text', '{"level":', '[]', 'null']) expect(readChildLine(line).kind).toBe('silent');
  });

  it("is shown when PostgreSQL calls it fatal, and not when it is a statement's error", () => {
    expect(readPostgresLine('2026 UTC [7] FATAL:  disk full')).toEqual({ kind: 'fault', text: 'error: disk full' });
    expect(readPostgresLine('2026 UTC [7] FATAL:  the database system is starting up').kind).toBe('silent');
    expect(readPostgresLine('2026 UTC [7] ERROR:  could not serialize').kind).toBe('silent');
  });
});
