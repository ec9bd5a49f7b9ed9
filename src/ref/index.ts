export { adamW } from './adamW.ts';
export { add, addBackward } from './add.ts';
export { cosineTopK } from './cosineTopK.ts';
export {
  crossEntropy,
  crossEntropyBackward,
  crossEntropyLogits,
  crossEntropyLogitsBackward,
} from './crossEntropy.ts';
export { cummax, cummaxBackward } from './cummax.ts';
export { driftLoss, driftLossBackward } from './driftLoss.ts';
export { dropout, dropoutBackward } from './dropout.ts';
export { embedding, embeddingBackward } from './embedding.ts';
export { gatedFfn, gatedFfnBackward } from './gatedFfn.ts';
export { gatherRows, gatherRowsBackward } from './gatherRows.ts';
export { gelu, geluBackward } from './gelu.ts';
export { gradientClip, gradientClipFactor } from './gradientClip.ts';
export { gumbelNoise } from './gumbelNoise.ts';
export { gumbelTopK, gumbelTopKBackward, gumbelTopKRelaxed } from './gumbelTopK.ts';
export { hierarchicalAnn, hierarchicalAnnAdd } from './hierarchicalAnn.ts';
export { hierarchicalAnnSearch } from './hierarchicalAnnSearch.ts';
export { identityLoss, identityLossBackward } from './identityLoss.ts';
export { inclusionLoss, inclusionLossBackward } from './inclusionLoss.ts';
export { kMeans } from './kMeans.ts';
export { layerNorm, layerNormBackward } from './layerNorm.ts';
export { sampleByBounds, sampleByHeap, sampleByShift } from './lazyGumbelSchemes.ts';
export { lazyGumbelTopK, lazyGumbelTopKBalls } from './lazyGumbelTopK.ts';
export { lerp, lerpBackward } from './lerp.ts';
export { localIds } from './localIds.ts';
export { maskBySubVocab, maskBySubVocabBackward } from './maskBySubVocab.ts';
export { matmul, matmulBackward } from './matmul.ts';
export { maxState, maxStateBackward } from './maxState.ts';
export { mixHeads, mixHeadsBackward } from './mixHeads.ts';
export { multiHeadAttention, multiHeadAttentionBackward } from './multiHeadAttention.ts';
export { poolQuery, poolQueryBackward } from './poolQuery.ts';
export { prefixMask, prefixMaskBackward, prefixMaskRange } from './prefixMask.ts';
export { randomBits } from './randomBits.ts';
export { sampledCrossEntropy, sampledCrossEntropyBackward } from './sampledCrossEntropy.ts';
export { sampleLogits } from './sampleLogits.ts';
export { scoreInt8 } from './scoreInt8.ts';
export { skipTuning, skipTuningBackward } from './skipTuning.ts';
export { smoothTopK, smoothTopKBackward, smoothTopKJvp } from './smoothTopK.ts';
export { softmax, softmaxBackward } from './softmax.ts';
export { sparsemax, sparsemaxBackward } from './sparsemax.ts';
export { splitMinSum } from './splitMinSum.ts';
export { subVocabHead, subVocabHeadBackward } from './subVocabHead.ts';
export { surfaceForms } from './surfaceForms.ts';
export { topK, topKBackward } from './topK.ts';
