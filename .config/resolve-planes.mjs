import { registerHooks } from 'node:module';

// What `tsc` makes of test/ imports the planes where their sources lie beside it; what it made of the planes lies in theirs.
registerHooks({
  resolve(specifier, context, nextResolve) {
    const { url } = context.parentURL?.includes('/test/dist/')
      ? {
          url: new URL(specifier, context.parentURL).href.replace(
            /\/test\/dist\/(control-plane|data-plane)\//,
            '/$1/dist/',
          ),
        }
      : { url: specifier };
    return nextResolve(specifier.startsWith('.') ? url : specifier, context);
  },
});
