import type { ListedModel, ModelList } from './model-list.js';

/** One page, without parameters. https://platform.openai.com/docs/api-reference/models */
export const openAiModels: ModelList = {
  has: () => true,
  list: (models) => ({ object: 'list', data: models.map(show) }),
  show,
};

function show({ name, createdAt, owner }: ListedModel): object {
  return { id: name, object: 'model', created: Math.floor(createdAt / 1000), owned_by: owner };
}
