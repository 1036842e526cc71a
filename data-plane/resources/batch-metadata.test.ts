import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isOwnBatch, readBatchMetadata, submissionIdOf, writeBatchMetadata } from './batch-metadata.js';
import type { BatchSubmission } from './batch-submission.js';
import { createIdSealer } from './sealed-id.js';

const ours = createIdSealer(randomBytes(32).toString('base64url'));
const theirs = createIdSealer(randomBytes(32).toString('base64url'));

const submission: BatchSubmission = {
  submissionId: randomUUID(),
  tenantId: randomUUID(),
  apiKeyId: randomUUID(),
  memberId: randomUUID(),
  config: { epoch: 12, seq: 123_456 },
  operation: 'chat-completions',
  model: 'm'.repeat(256),
  upstreamModel: 'u'.repeat(256),
  targetId: randomUUID(),
  providerId: randomUUID(),
  credentialId: randomUUID(),
  admittedAt: Date.now(),
  priceCardVersionId: randomUUID(),
  costCardVersionId: randomUUID(),
  leaseIds: [randomUUID(), randomUUID()],
};
const input = '/v1/chat/completions 1.2.3.4.0.0';
const metadata = { project: 'Nächtlich "1"', user: 'ada@customer.example' };

describe('the metadata of a batch', () => {
  it('is what the vendor takes, and comes back as it was given', () => {
    const stored = writeBatchMetadata(ours, { submission, metadata, input }) ?? {};
    expect(Object.keys(stored).length).toBeLessThanOrEqual(16);
    for (const [name, value] of Object.entries(stored)) {
      expect(name.length).toBeLessThanOrEqual(64);
      expect(value.length).toBeLessThanOrEqual(512);
    }
    expect(readBatchMetadata(ours, stored)).toEqual({ submission, metadata, input });
  });

  it('tells the provider nothing of it', () => {
    const text = JSON.stringify(writeBatchMetadata(ours, { submission, metadata, input }));
    for (const part of ['project', 'ada@', submission.tenantId, submission.apiKeyId]) expect(text).not.toContain(part);
  });

  it('says whose it is, to its tenant alone', () => {
    const stored = writeBatchMetadata(ours, { submission, metadata: null, input });
    expect(submissionIdOf(ours, submission.providerId, stored)).toBe(submission.submissionId);
    expect(isOwnBatch(ours, randomUUID(), stored)).toBe(false);
    expect(isOwnBatch(theirs, submission.providerId, stored)).toBe(false);
    expect(readBatchMetadata(theirs, stored)).toBeUndefined();
    for (const foreign of [null, {}, { pingtoken: 'x' }, { project: 'x' }, 'x']) {
      expect(isOwnBatch(ours, submission.providerId, foreign)).toBe(false);
      expect(readBatchMetadata(ours, foreign)).toBeUndefined();
    }
  });

  it('has room for what a caller says, up to a bound', () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, 'v'.repeat(500)]));
    const stored = writeBatchMetadata(ours, { submission, metadata: many(7), input });
    expect(readBatchMetadata(ours, stored)?.metadata).toEqual(many(7));
    expect(writeBatchMetadata(ours, { submission, metadata: many(16), input })).toBeUndefined();
  });
});
