import { defineConfig } from 'vitest/config';
import { ClosingLineReporter } from './closing-line-reporter.js';

// TypeGraphQL loads graphql as CommonJS and Apollo as ESM; two copies of graphql refuse each other's schemas.
const oneGraphql = [{ find: /^graphql$/, replacement: 'graphql/index.js' }];

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  resolve: { alias: oneGraphql },
  test: {
    include: ['shared/**/*.test.ts', 'control-plane/**/*.test.ts', 'data-plane/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/kit/postgres.global-setup.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores: more workers than that only make the servers under test slow.
    maxWorkers: 2,
    reporters: ['default', new ClosingLineReporter()],
  },
});
