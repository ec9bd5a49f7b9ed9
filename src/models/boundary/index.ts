/** Continuation with a large vocabulary: the ladder of remedies, and the exact oracle. */
export { PrefixConstraint } from './constraint.ts';
export * from './curve.ts';
export * from './oracle.ts';
export * from './prefixTable.ts';
export * from './rollBack.ts';
export { samOutTokens } from './samOutTokens.ts';
export { type Segmenter, segmenter } from './segmentation.ts';
