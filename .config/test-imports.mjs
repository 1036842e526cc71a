import { registerHooks } from 'node:module';

/**
 * For programs of the tests, `node --import ./.config/test-imports.mjs test/dist/test/chaos/main.js`: compiled tests name the parts
 * of the platform as their sources do, beside themselves; the parts lie in folders of their own.
 */
const PART = /\/test\/dist\/(control-plane|data-plane|shared)\//;

registerHooks({
  resolve(specifier, context, next) {
    if (!specifier.startsWith('.') || context.parentURL === undefined) return next(specifier, context);
    const { href } = new URL(specifier, context.parentURL);
    return PART.test(href) ? next(href.replace(PART, '/$1/dist/'), context) : next(specifier, context);
  },
});
