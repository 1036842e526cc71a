import { describe, expect, it } from 'vitest';
import { parseDirectives, parseRules } from './directives.js';

describe('directives', () => {
  it('reads every kind of word, from any number of blocks, the later word winning', () => {
    expect(
      parseDirectives('Hi [[sim delay=500 crlf usage=none]] there [[sim  delay=7\n stall=forever split=1]].'),
    ).toEqual({ value: { delay: 7, crlf: true, usage: 'none', stall: 'forever', split: 1 } });
  });

  it.each(['', 'plain', '[[sim delay=5', '[[simple delay=5]]', '[sim delay=5]', '[[sim]]'])(
    'takes %j for plain text',
    (text) => {
      expect(parseDirectives(text)).toEqual({ value: {} });
    },
  );

  it.each([
    ['[[sim dealy=5]]', 'dealy'],
    ['[[sim delay=-1]]', 'delay'],
    ['[[sim delay=600001]]', 'delay'],
    ['[[sim delay]]', 'delay'],
    ['[[sim status=200]]', 'status'],
    ['[[sim split=0]]', 'split'],
    ['[[sim usage=some]]', 'usage'],
    ['[[sim times=2]]', 'times'],
    ['[[sim __proto__=2]]', '__proto__'],
  ])('refuses %s and names the word', (text, name) => {
    expect(parseDirectives(text)).toEqual({ problem: expect.stringContaining(name) });
  });

  it('stays quick on text made to be slow', () => {
    const startedMs = performance.now();
    parseDirectives('[[sim '.repeat(200_000));
    expect(performance.now() - startedMs).toBeLessThan(500);
  });

  it('reads rules, one or several, with the same names and bounds', () => {
    expect(parseRules({ status: 429, 'retry-after': 2, times: 3 })).toEqual({
      value: [{ status: 429, 'retry-after': 2, times: 3 }],
    });
    expect(parseRules([{ delay: 1 }, { delay: 2, model: 'm' }])).toMatchObject({ value: [{ delay: 1 }, { delay: 2 }] });
    expect(parseRules({ times: 0 })).toHaveProperty('problem');
    expect(parseRules('status=429')).toHaveProperty('problem');
  });
});
