import { describe, expect, it } from 'vitest';
import { isFineTuningPath, isMeteredPath, matchesPattern } from './passthrough-path.js';

describe('a metered path', () => {
  it.each([
    '/v1/chat/completions',
    '/v1/chat/completions/',
    '/v1//chat///completions',
    '/v1/Chat/COMPLETIONS',
    '/v1/chat%2fcompletions',
    '/v1/chat%252Fcompletions',
    '/v1/%63hat/%63ompletions',
    '/v1/chat/./completions',
    '/v1/files/../chat/completions',
    '/v1/files/..%2fchat%2fcompletions',
    '/v1/files\\..\\chat\\completions',
    '/v1/chat/completions;a=b',
    '/v1/chat/completions%3Fx=1',
    '/v1/chat/completions%23x',
    '/v1/chat/completions%20',
    '/v1/chat/completions%00',
    '/v1/chat/completions.',
    '/v1/chat/com\u200bpletions',
    '/v1/chat/ｃompletions',
    '/v1/completions',
    '/v1/engines/davinci/completions',
    '/v1/embeddings',
    '/v1/responses',
    '/v1/responses/compact',
    '/v1/messages',
    '/v1/messages/batches',
    '/v1/batches',
    '/v1beta/models/gemini-x:generateContent',
    '/v1beta/models/gemini-x:streamGenerateContent',
    '/v1beta/models/gemini-x%3AgenerateContent',
    `/${'%25'.repeat(3)}2525252525252525252525252561`,
  ])('is recognised in the spelling %s', (path) => {
    expect(isMeteredPath(path)).toBe(true);
  });

  it.each([
    '/v1/files',
    '/v1/files/file-1/content',
    '/v1/audio/transcriptions',
    '/v1/models',
    '/v1/images/generations',
  ])('is not %s', (path) => {
    expect(isMeteredPath(path)).toBe(false);
  });
});

describe('a pattern', () => {
  it.each([
    ['/files', '/files'],
    ['/files/file-1/content', '/files/*/content'],
    ['/files/a.b', '/files/*'],
  ])('matches %s by %s', (path, pattern) => {
    expect(matchesPattern(path, pattern)).toBe(true);
  });

  it.each([
    ['/files/', '/files'],
    ['/files/', '/files/*'],
    ['/files/a/b', '/files/*'],
    ['/files/..', '/files/*'],
    ['/files/.', '/files/*'],
    ['/files/..%2fadmin', '/files/*'],
    ['/files/%2e%2e', '/files/*'],
    ['/files/a\\b', '/files/*'],
    ['/files/a;b', '/files/*'],
    ['/FILES', '/files'],
    ['//files', '/files'],
  ])('does not match %s by %s', (path, pattern) => {
    expect(matchesPattern(path, pattern)).toBe(false);
  });
});

describe('a path that trains a model', () => {
  it.each([
    '/fine_tuning/jobs',
    '/v1/Fine%5fTuning/jobs/1',
    '/fine-tunes',
    '/x/../fine_tuning//jobs',
    '/v1beta/tunedModels',
  ])('is recognised in the spelling %s', (path) => {
    expect(isFineTuningPath(path)).toBe(true);
  });

  it.each(['/files', '/models/fine_tuning-guide', '/x/fine_tuning/..'])('is not %s', (path) => {
    expect(isFineTuningPath(path)).toBe(false);
  });
});
