import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const FOLDER = join(import.meta.dirname, '..');
const ROW = /^\|.*\| \[([^\]]+\.test\.ts)\]\(([^)]+)\): (.+?)\s*\|$/;
/** As the issue that asks for the table lists them. */
const LEAST = 9;

interface Row {
  readonly shown: string;
  readonly path: string;
  readonly title: string;
}

function readTable(): Row[] {
  const [, section = ''] = readFileSync(join(FOLDER, 'README.md'), 'utf8').split(
    '\n## Bugs that billing has had elsewhere\n',
  );
  return section.split('\n').flatMap((line) => {
    const [, shown = '', path = '', title = ''] = ROW.exec(line) ?? [];
    return title === '' ? [] : [{ shown, path, title }];
  });
}

it('names a test that exists for each bug', () => {
  const rows = readTable();
  expect(rows.length).toBeGreaterThanOrEqual(LEAST);
  for (const { shown, path, title } of rows) {
    expect(shown).toBe(path);
    const source = readFileSync(join(FOLDER, path), 'utf8');
    const isThere = ["'", '"', '`'].some((quote) => /\b(?:it|test)\(\s*$/m.test(before(source, quote + title + quote)));
    expect({ title, isThere }).toEqual({ title, isThere: true });
  }
});

it('has no row that is not read', () => {
  const text =
    readFileSync(join(FOLDER, 'README.md'), 'utf8').split('\n## Bugs that billing has had elsewhere\n')[1] ?? '';
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2);
  expect(rows).toHaveLength(readTable().length);
});

/** What of a source stands before a text; empty where it is not there. */
function before(source: string, text: string): string {
  const at = source.indexOf(text);
  return at < 0 ? '' : source.slice(0, at);
}
