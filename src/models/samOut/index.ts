/** SamOut: the decoder, its training, generation and evaluation, and PyTorch checkpoints. */
export { type SamOutConfig, samOutConfig, samOutDefaults } from './config.ts';
export { sequenceNats } from './evaluate.ts';
export { type Constraint, generate, type SamplingOptions } from './generate.ts';
export * from './model.ts';
export * from './parameters.ts';
export { configOf, fromStateDict, toStateDict } from './stateDict.ts';
export { DivergedError, SamOutTrainer, type TrainerOptions, type TrainerState } from './trainer.ts';
