/** SUBVOCAB: each step of the path of a sequence by itself, the model, and its training. */
export * from './answer.ts';
export { type SubVocabConfig, subVocabConfig } from './config.ts';
export { Curriculum, type CurriculumOptions } from './curriculum.ts';
export * from './evaluate.ts';
export { withFrequencies } from './frequencies.ts';
export {
  type GatheredTables,
  initialSubVocab,
  listSubVocab,
  mapSubVocab,
  queriesOf,
  type Selection,
  SubVocab,
  type SubVocabParameters,
} from './model.ts';
export * from './plackettLuce.ts';
export * from './segments.ts';
export {
  type Estimator,
  estimators,
  type StepReport,
  SubVocabTrainer,
  type SubVocabTrainerOptions,
} from './trainer.ts';
export { WordIndex, type WordIndexOptions } from './wordIndex.ts';
export { specialIds, WordTable, type WordTableOptions } from './wordTable.ts';
