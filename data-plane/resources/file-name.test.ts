import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { filePrefix, readFileName } from './file-name.js';
import { createIdSealer } from './sealed-id.js';

const ours = createIdSealer(randomBytes(32).toString('base64url'));
const theirs = createIdSealer(randomBytes(32).toString('base64url'));
const provider = randomUUID();

describe('the name of a file at its provider', () => {
  it('gives back what the caller called it and what it was accepted as, to its tenant and provider alone', () => {
    const prefix = filePrefix(ours, provider, {
      kind: 'batch-input',
      model: 'vendor/model.1',
      parentId: '/v1/embeddings',
    });
    const stored = `${prefix}a.b.jsonl`;
    expect(readFileName(ours, provider, stored)).toEqual({
      kind: 'batch-input',
      model: 'vendor/model.1',
      parentId: '/v1/embeddings',
      name: 'a.b.jsonl',
    });
    expect(readFileName(theirs, provider, stored)).toBeUndefined();
    expect(readFileName(ours, randomUUID(), stored)).toBeUndefined();
    expect(stored).not.toContain('vendor');
  });

  it('cannot be made up: neither the kind nor the tag comes from a caller', () => {
    const prefix = filePrefix(ours, provider, { kind: 'file', model: 'm', parentId: undefined });
    const [tag = ''] = prefix.split('.');
    const forged = `${tag}.${theirs.sealText('batch-input\nm')}.x`;
    for (const stored of [forged, `${tag}..x`, tag, 'x.jsonl', '', null, 7]) {
      expect(readFileName(ours, provider, stored)).toBeUndefined();
    }
    expect(readFileName(ours, provider, `${prefix}${tag}.${theirs.sealText('batch-input\nm')}.x`)?.kind).toBe('file');
  });
});
