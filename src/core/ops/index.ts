import type { AnyTensor } from '../tensor.ts';
import { type AdamWOps, adamWContract } from './adamW.ts';
import { type AddOps, addBackwardContract, addContract } from './add.ts';
import type { Contract } from './contract.ts';
import { type CosineTopKOps, cosineTopKContract } from './cosineTopK.ts';
import {
  type CrossEntropyOps,
  crossEntropyBackwardContract,
  crossEntropyContract,
  crossEntropyLogitsBackwardContract,
  crossEntropyLogitsContract,
} from './crossEntropy.ts';
import { type CummaxOps, cummaxBackwardContract, cummaxContract } from './cummax.ts';
import { type DriftLossOps, driftLossBackwardContract, driftLossContract } from './driftLoss.ts';
import { type DropoutOps, dropoutBackwardContract, dropoutContract } from './dropout.ts';
import { type EmbeddingOps, embeddingBackwardContract, embeddingContract } from './embedding.ts';
import { type GatedFfnOps, gatedFfnBackwardContract, gatedFfnContract } from './gatedFfn.ts';
import { type GatherRowsOps, gatherRowsBackwardContract, gatherRowsContract } from './gatherRows.ts';
import { type GeluOps, geluBackwardContract, geluContract } from './gelu.ts';
import { type GradientClipOps, gradientClipContract, gradientClipFactorContract } from './gradientClip.ts';
import { type GumbelNoiseOps, gumbelNoiseContract } from './gumbelNoise.ts';
import {
  type GumbelTopKOps,
  gumbelTopKBackwardContract,
  gumbelTopKContract,
  gumbelTopKRelaxedContract,
} from './gumbelTopK.ts';
import {
  type HierarchicalAnnOps,
  hierarchicalAnnAddContract,
  hierarchicalAnnContract,
  hierarchicalAnnSearchContract,
} from './hierarchicalAnn.ts';
import { type IdentityLossOps, identityLossBackwardContract, identityLossContract } from './identityLoss.ts';
import {
  type InclusionLossOps,
  inclusionLossBackwardContract,
  inclusionLossContract,
} from './inclusionLoss.ts';
import { type KMeansOps, kMeansContract } from './kMeans.ts';
import { type LayerNormOps, layerNormBackwardContract, layerNormContract } from './layerNorm.ts';
import {
  type LazyGumbelTopKOps,
  lazyGumbelTopKBallsContract,
  lazyGumbelTopKContract,
} from './lazyGumbelTopK.ts';
import { type LerpOps, lerpBackwardContract, lerpContract } from './lerp.ts';
import { type LocalIdsOps, localIdsContract } from './localIds.ts';
import {
  type MaskBySubVocabOps,
  maskBySubVocabBackwardContract,
  maskBySubVocabContract,
} from './maskBySubVocab.ts';
import { type MatmulOps, matmulBackwardContract, matmulContract } from './matmul.ts';
import { type MaxStateOps, maxStateBackwardContract, maxStateContract } from './maxState.ts';
import { type MixHeadsOps, mixHeadsBackwardContract, mixHeadsContract } from './mixHeads.ts';
import {
  type MultiHeadAttentionOps,
  multiHeadAttentionBackwardContract,
  multiHeadAttentionContract,
} from './multiHeadAttention.ts';
import { type PoolQueryOps, poolQueryBackwardContract, poolQueryContract } from './poolQuery.ts';
import {
  type PrefixMaskOps,
  prefixMaskBackwardContract,
  prefixMaskContract,
  prefixMaskRangeContract,
} from './prefixMask.ts';
import { type RandomBitsOps, randomBitsContract } from './randomBits.ts';
import {
  type SampledCrossEntropyOps,
  sampledCrossEntropyBackwardContract,
  sampledCrossEntropyContract,
} from './sampledCrossEntropy.ts';
import { type SampleLogitsOps, sampleLogitsContract } from './sampleLogits.ts';
import { type ScoreInt8Ops, scoreInt8Contract } from './scoreInt8.ts';
import { type SkipTuningOps, skipTuningBackwardContract, skipTuningContract } from './skipTuning.ts';
import {
  type SmoothTopKOps,
  smoothTopKBackwardContract,
  smoothTopKContract,
  smoothTopKJvpContract,
} from './smoothTopK.ts';
import { type SoftmaxOps, softmaxBackwardContract, softmaxContract } from './softmax.ts';
import { type SparsemaxOps, sparsemaxBackwardContract, sparsemaxContract } from './sparsemax.ts';
import { type SplitMinSumOps, splitMinSumContract } from './splitMinSum.ts';
import { type SubVocabHeadOps, subVocabHeadBackwardContract, subVocabHeadContract } from './subVocabHead.ts';
import { type SurfaceFormsOps, surfaceFormsContract } from './surfaceForms.ts';
import { type TopKOps, topKBackwardContract, topKContract } from './topK.ts';

/** Every operator, the same on both twins: `ref` is an `Ops<Tensor>`, `gpu.ops` an `Ops<GpuTensor>`. */
export interface Ops<T extends AnyTensor>
  extends AdamWOps<T>,
    AddOps<T>,
    CrossEntropyOps<T>,
    CummaxOps<T>,
    DropoutOps<T>,
    EmbeddingOps<T>,
    GatedFfnOps<T>,
    GradientClipOps<T>,
    GumbelNoiseOps<T>,
    GumbelTopKOps<T>,
    HierarchicalAnnOps<T>,
    KMeansOps<T>,
    LayerNormOps<T>,
    LazyGumbelTopKOps<T>,
    LerpOps<T>,
    MatmulOps<T>,
    MaxStateOps<T>,
    MixHeadsOps<T>,
    PrefixMaskOps<T>,
    RandomBitsOps<T>,
    SampleLogitsOps<T>,
    SmoothTopKOps<T>,
    SkipTuningOps<T>,
    SoftmaxOps<T>,
    SplitMinSumOps<T>,
    GatherRowsOps<T>,
    GeluOps<T>,
    LocalIdsOps<T>,
    ScoreInt8Ops<T>,
    MaskBySubVocabOps<T>,
    SubVocabHeadOps<T>,
    SampledCrossEntropyOps<T>,
    PoolQueryOps<T>,
    InclusionLossOps<T>,
    MultiHeadAttentionOps<T>,
    SparsemaxOps<T>,
    IdentityLossOps<T>,
    DriftLossOps<T>,
    SurfaceFormsOps<T>,
    CosineTopKOps<T>,
    TopKOps<T> {}

/** The contracts in reading order. Backward operators follow their forward ones. */
export const contracts: readonly Contract[] = [
  randomBitsContract,
  gumbelNoiseContract,
  cummaxContract,
  cummaxBackwardContract,
  matmulContract,
  matmulBackwardContract,
  gatedFfnContract,
  gatedFfnBackwardContract,
  addContract,
  addBackwardContract,
  lerpContract,
  lerpBackwardContract,
  topKContract,
  topKBackwardContract,
  gumbelTopKContract,
  gumbelTopKRelaxedContract,
  gumbelTopKBackwardContract,
  sampleLogitsContract,
  prefixMaskContract,
  prefixMaskBackwardContract,
  prefixMaskRangeContract,
  skipTuningContract,
  skipTuningBackwardContract,
  crossEntropyContract,
  crossEntropyBackwardContract,
  crossEntropyLogitsContract,
  crossEntropyLogitsBackwardContract,
  gradientClipContract,
  gradientClipFactorContract,
  adamWContract,
  dropoutContract,
  dropoutBackwardContract,
  embeddingContract,
  embeddingBackwardContract,
  maxStateContract,
  maxStateBackwardContract,
  mixHeadsContract,
  mixHeadsBackwardContract,
  kMeansContract,
  hierarchicalAnnContract,
  hierarchicalAnnAddContract,
  hierarchicalAnnSearchContract,
  lazyGumbelTopKContract,
  lazyGumbelTopKBallsContract,
  scoreInt8Contract,
  layerNormContract,
  layerNormBackwardContract,
  softmaxContract,
  softmaxBackwardContract,
  smoothTopKContract,
  smoothTopKBackwardContract,
  smoothTopKJvpContract,
  splitMinSumContract,
  gatherRowsContract,
  gatherRowsBackwardContract,
  geluContract,
  geluBackwardContract,
  localIdsContract,
  maskBySubVocabContract,
  maskBySubVocabBackwardContract,
  subVocabHeadContract,
  subVocabHeadBackwardContract,
  sampledCrossEntropyContract,
  sampledCrossEntropyBackwardContract,
  poolQueryContract,
  poolQueryBackwardContract,
  inclusionLossContract,
  inclusionLossBackwardContract,
  multiHeadAttentionContract,
  multiHeadAttentionBackwardContract,
  sparsemaxContract,
  sparsemaxBackwardContract,
  identityLossContract,
  identityLossBackwardContract,
  driftLossContract,
  driftLossBackwardContract,
  surfaceFormsContract,
  cosineTopKContract,
];

export type { Contract } from './contract.ts';
export { invoke } from './contract.ts';
