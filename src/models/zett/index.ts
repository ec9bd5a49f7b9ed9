/** ZeTT: the hypernetwork, its training, the baselines, and the transfer of a model to other words. */
export * from './addWords.ts';
export * from './baselines.ts';
export * from './body.ts';
export { type HypernetConfig, hypernetConfig } from './config.ts';
export { type ContinueOptions, continueTraining } from './continue.ts';
export * from './model.ts';
export * from './parameters.ts';
export * from './sampler.ts';
export * from './trainer.ts';
export * from './transfer.ts';
export * from './vocabulary.ts';
