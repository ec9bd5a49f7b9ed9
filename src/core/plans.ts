import { planAdamW } from './ops/adamW.ts';
import { planAdd, planAddBackward } from './ops/add.ts';
import { planCosineTopK } from './ops/cosineTopK.ts';
import {
  planCrossEntropy,
  planCrossEntropyBackward,
  planCrossEntropyLogits,
  planCrossEntropyLogitsBackward,
} from './ops/crossEntropy.ts';
import { planCummax, planCummaxBackward } from './ops/cummax.ts';
import { planDriftLoss, planDriftLossBackward } from './ops/driftLoss.ts';
import { planDropout, planDropoutBackward } from './ops/dropout.ts';
import { planEmbedding, planEmbeddingBackward } from './ops/embedding.ts';
import { planGatedFfn, planGatedFfnBackward } from './ops/gatedFfn.ts';
import { planGatherRows, planGatherRowsBackward } from './ops/gatherRows.ts';
import { planGelu, planGeluBackward } from './ops/gelu.ts';
import { planGradientClip, planGradientClipFactor } from './ops/gradientClip.ts';
import { planGumbelNoise } from './ops/gumbelNoise.ts';
import { planGumbelTopK, planGumbelTopKBackward, planGumbelTopKRelaxed } from './ops/gumbelTopK.ts';
import { planAnnAdd, planAnnSearch, planHierarchicalAnn } from './ops/hierarchicalAnn.ts';
import { planIdentityLoss, planIdentityLossBackward } from './ops/identityLoss.ts';
import { planInclusionLoss, planInclusionLossBackward } from './ops/inclusionLoss.ts';
import type { Ops } from './ops/index.ts';
import { planKMeans } from './ops/kMeans.ts';
import { planLayerNorm, planLayerNormBackward } from './ops/layerNorm.ts';
import { planLazyGumbelTopK, planLazyGumbelTopKBalls } from './ops/lazyGumbelTopK.ts';
import { planLerp, planLerpBackward } from './ops/lerp.ts';
import { planLocalIds } from './ops/localIds.ts';
import { planMaskBySubVocab, planMaskBySubVocabBackward } from './ops/maskBySubVocab.ts';
import { planMatmul, planMatmulBackward } from './ops/matmul.ts';
import { planMaxState, planMaxStateBackward } from './ops/maxState.ts';
import { planMixHeads, planMixHeadsBackward } from './ops/mixHeads.ts';
import { planMultiHeadAttention, planMultiHeadAttentionBackward } from './ops/multiHeadAttention.ts';
import { planPoolQuery, planPoolQueryBackward } from './ops/poolQuery.ts';
import { planPrefixMask, planPrefixMaskBackward, planPrefixMaskRange } from './ops/prefixMask.ts';
import { planRandomBits } from './ops/randomBits.ts';
import { planSampledCrossEntropy, planSampledCrossEntropyBackward } from './ops/sampledCrossEntropy.ts';
import { planSampleLogits } from './ops/sampleLogits.ts';
import { planScoreInt8 } from './ops/scoreInt8.ts';
import { planSkipTuning, planSkipTuningBackward } from './ops/skipTuning.ts';
import { planSmoothTopK, planSmoothTopKBackward, planSmoothTopKJvp } from './ops/smoothTopK.ts';
import { planSoftmax, planSoftmaxBackward } from './ops/softmax.ts';
import { planSparsemax, planSparsemaxBackward } from './ops/sparsemax.ts';
import { planSplitMinSum } from './ops/splitMinSum.ts';
import { planSubVocabHead, planSubVocabHeadBackward } from './ops/subVocabHead.ts';
import { planSurfaceForms } from './ops/surfaceForms.ts';
import { planTopK, planTopKBackward } from './ops/topK.ts';
import type { AnyTensor } from './tensor.ts';

/**
 * Every operator's checks without its work: the same arguments, the same refusals, no memory and no GPU.
 * A program that takes calls from elsewhere, as the command line does, refuses bad ones with this before it starts.
 */
export const plans: {
  readonly [Name in keyof Ops<AnyTensor>]: (...args: Parameters<Ops<AnyTensor>[Name]>) => object;
} = {
  add: planAdd,
  addBackward: planAddBackward,
  embedding: planEmbedding,
  embeddingBackward: planEmbeddingBackward,
  lerp: planLerp,
  lerpBackward: planLerpBackward,
  adamW: planAdamW,
  crossEntropy: planCrossEntropy,
  crossEntropyBackward: planCrossEntropyBackward,
  crossEntropyLogits: planCrossEntropyLogits,
  crossEntropyLogitsBackward: planCrossEntropyLogitsBackward,
  cummax: planCummax,
  cummaxBackward: planCummaxBackward,
  dropout: planDropout,
  dropoutBackward: planDropoutBackward,
  gatedFfn: planGatedFfn,
  gatedFfnBackward: planGatedFfnBackward,
  gradientClip: planGradientClip,
  gradientClipFactor: planGradientClipFactor,
  gumbelNoise: planGumbelNoise,
  hierarchicalAnn: planHierarchicalAnn,
  hierarchicalAnnAdd: planAnnAdd,
  hierarchicalAnnSearch: planAnnSearch,
  lazyGumbelTopK: planLazyGumbelTopK,
  lazyGumbelTopKBalls: planLazyGumbelTopKBalls,
  kMeans: planKMeans,
  matmul: planMatmul,
  matmulBackward: planMatmulBackward,
  gumbelTopK: planGumbelTopK,
  gumbelTopKBackward: planGumbelTopKBackward,
  gumbelTopKRelaxed: planGumbelTopKRelaxed,
  prefixMask: planPrefixMask,
  prefixMaskBackward: planPrefixMaskBackward,
  prefixMaskRange: planPrefixMaskRange,
  randomBits: planRandomBits,
  sampleLogits: planSampleLogits,
  topK: planTopK,
  topKBackward: planTopKBackward,
  maxState: planMaxState,
  maxStateBackward: planMaxStateBackward,
  mixHeads: planMixHeads,
  mixHeadsBackward: planMixHeadsBackward,
  layerNorm: planLayerNorm,
  layerNormBackward: planLayerNormBackward,
  skipTuning: planSkipTuning,
  skipTuningBackward: planSkipTuningBackward,
  softmax: planSoftmax,
  softmaxBackward: planSoftmaxBackward,
  splitMinSum: planSplitMinSum,
  smoothTopK: planSmoothTopK,
  smoothTopKBackward: planSmoothTopKBackward,
  smoothTopKJvp: planSmoothTopKJvp,
  gatherRows: planGatherRows,
  gatherRowsBackward: planGatherRowsBackward,
  gelu: planGelu,
  geluBackward: planGeluBackward,
  localIds: planLocalIds,
  scoreInt8: planScoreInt8,
  maskBySubVocab: planMaskBySubVocab,
  maskBySubVocabBackward: planMaskBySubVocabBackward,
  subVocabHead: planSubVocabHead,
  subVocabHeadBackward: planSubVocabHeadBackward,
  sampledCrossEntropy: planSampledCrossEntropy,
  sampledCrossEntropyBackward: planSampledCrossEntropyBackward,
  poolQuery: planPoolQuery,
  poolQueryBackward: planPoolQueryBackward,
  inclusionLoss: planInclusionLoss,
  inclusionLossBackward: planInclusionLossBackward,
  multiHeadAttention: planMultiHeadAttention,
  multiHeadAttentionBackward: planMultiHeadAttentionBackward,
  sparsemax: planSparsemax,
  sparsemaxBackward: planSparsemaxBackward,
  identityLoss: planIdentityLoss,
  identityLossBackward: planIdentityLossBackward,
  driftLoss: planDriftLoss,
  driftLossBackward: planDriftLossBackward,
  surfaceForms: planSurfaceForms,
  cosineTopK: planCosineTopK,
};
