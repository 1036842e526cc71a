import { lexicographicSortSchema, printSchema } from 'graphql';
import { buildApiSchema } from './schema.js';

/** Prints the schema, sorted, so that the committed copy changes where the API changes and nowhere else. */
process.stdout.write(`${printSchema(lexicographicSortSchema(buildApiSchema()))}\n`);
