/**
 * Operators for dynamic sub-vocabularies, each written twice: as a plain reference (`subvocab/ref`) and as WebGPU kernels
 * (`gpu.ops` of an open GPU).
 */

export { Tape, Var } from './core/autograd.ts';
export type { Backend } from './core/backend.ts';
export * from './core/errors.ts';
export { openSafetensors, readSafetensors, safetensorsChunks } from './core/formats/safetensors.ts';
export { foldIn, type Key, key, split } from './core/key.ts';
export { type Contract, contracts, invoke, type Ops } from './core/ops/index.ts';
export type { ListBalls } from './core/ops/lazyGumbelTopK.ts';
export { containment, massCoverage, recallIds, recallThreshold, type Shares } from './core/recall.ts';
export {
  type AnyTensor,
  type DType,
  type Outputs,
  outputs,
  type Shape,
  Tensor,
  tensor,
  zeros,
} from './core/tensor.ts';
export { bytesTokenizer } from './core/tokenizers/bytes.ts';
export type { Tokenizer } from './core/tokenizers/tokenizer.ts';
export { jsonTokenizer } from './core/tokenizers/tokenizerJson.ts';
export { Gpu, GpuTensor, type OpenOptions, openGpu } from './gpu/index.ts';
export { refBackend } from './ref/backend.ts';
export { bestFirstSearch } from './vocab/bestFirst.ts';
export type {
  EngineBuildOptions,
  EngineBuildReport,
  EngineIndex,
  EngineRows,
} from './vocab/engines/engineIndex.ts';
export { buildLance, type LanceOptions, openLance } from './vocab/engines/lanceIndex.ts';
export { buildPostgres, openPostgres, type PostgresOptions } from './vocab/engines/postgresIndex.ts';
export { type ShardAnswer, ShardMerge, shardOf } from './vocab/engines/shards.ts';
export { pgShards, type SqlConnection, type SqlLimits, type SqlShard } from './vocab/engines/sqlShard.ts';
export { flatIndex, type MemoryIndex, memoryIndex } from './vocab/memoryIndex.ts';
export { memorySource, openSource, type RowSource, type SourceSpec } from './vocab/rowSource.ts';
export { engineRows, fileRows, memoryRows, type RowStore } from './vocab/rowStore.ts';
export {
  type CachedSet,
  type CacheOptions,
  createSubVocabCache,
  type SubVocabCache,
} from './vocab/subVocabCache.ts';
export type { Found, SearchStats, VocabIndex, VocabSearchOptions } from './vocab/vocabIndex.ts';
export { buildWords, type WordBuildOptions, type WordBuildReport } from './vocab/words/buildWords.ts';
export { openWords, type WordIndex } from './vocab/words/wordIndex.ts';
