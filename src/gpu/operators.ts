import type { Ops } from '../core/ops/index.ts';
import { adamW } from './adamW.ts';
import { add, addBackward } from './add.ts';
import { cosineTopK } from './cosineTopK.ts';
import {
  crossEntropy,
  crossEntropyBackward,
  crossEntropyLogits,
  crossEntropyLogitsBackward,
} from './crossEntropy.ts';
import { cummax, cummaxBackward } from './cummax.ts';
import { driftLoss, driftLossBackward } from './driftLoss.ts';
import { dropout, dropoutBackward } from './dropout.ts';
import { embedding, embeddingBackward } from './embedding.ts';
import { gatedFfn, gatedFfnBackward } from './gatedFfn.ts';
import { gatherRows, gatherRowsBackward } from './gatherRows.ts';
import { gelu, geluBackward } from './gelu.ts';
import { gradientClip, gradientClipFactor } from './gradientClip.ts';
import { gumbelNoise } from './gumbelNoise.ts';
import { gumbelTopK, gumbelTopKBackward, gumbelTopKRelaxed } from './gumbelTopK.ts';
import { hierarchicalAnn, hierarchicalAnnAdd } from './hierarchicalAnn.ts';
import { hierarchicalAnnSearch } from './hierarchicalAnnSearch.ts';
import { identityLoss, identityLossBackward } from './identityLoss.ts';
import { inclusionLoss, inclusionLossBackward } from './inclusionLoss.ts';
import { kMeans } from './kMeans.ts';
import { layerNorm, layerNormBackward } from './layerNorm.ts';
import { lazyGumbelTopK, lazyGumbelTopKBalls } from './lazyGumbelTopK.ts';
import { lerp, lerpBackward } from './lerp.ts';
import { localIds } from './localIds.ts';
import { maskBySubVocab, maskBySubVocabBackward } from './maskBySubVocab.ts';
import { matmul, matmulBackward } from './matmul.ts';
import { maxState, maxStateBackward } from './maxState.ts';
import { mixHeads, mixHeadsBackward } from './mixHeads.ts';
import { multiHeadAttention, multiHeadAttentionBackward } from './multiHeadAttention.ts';
import { poolQuery, poolQueryBackward } from './poolQuery.ts';
import { prefixMask, prefixMaskBackward, prefixMaskRange } from './prefixMask.ts';
import { randomBits } from './randomBits.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';
import { sampledCrossEntropy, sampledCrossEntropyBackward } from './sampledCrossEntropy.ts';
import { sampleLogits } from './sampleLogits.ts';
import { scoreInt8 } from './scoreInt8.ts';
import { skipTuning, skipTuningBackward } from './skipTuning.ts';
import { smoothTopK, smoothTopKBackward, smoothTopKJvp } from './smoothTopK.ts';
import { softmax, softmaxBackward } from './softmax.ts';
import { sparsemax, sparsemaxBackward } from './sparsemax.ts';
import { splitMinSum } from './splitMinSum.ts';
import { subVocabHead, subVocabHeadBackward } from './subVocabHead.ts';
import { surfaceForms } from './surfaceForms.ts';
import { topK, topKBackward } from './topK.ts';

/** The operators bound to one GPU: what `gpu.ops` is. */
export function createOps(gpu: Gpu): Ops<GpuTensor> {
  return {
    mixHeads: (x, weight) => mixHeads(gpu, x, weight),
    mixHeadsBackward: (dy, x, weight) => mixHeadsBackward(gpu, dy, x, weight),
    dropout: (x, p, key) => dropout(gpu, x, p, key),
    dropoutBackward: (dy, p, key) => dropoutBackward(gpu, dy, p, key),
    embedding: (table, ids, options) => embedding(gpu, table, ids, options),
    embeddingBackward: (dy, table, ids, options) => embeddingBackward(gpu, dy, table, ids, options),
    add: (a, b) => add(gpu, a, b),
    addBackward: (dy) => addBackward(gpu, dy),
    lerp: (a, b, weight) => lerp(gpu, a, b, weight),
    lerpBackward: (dy, a, b, weight) => lerpBackward(gpu, dy, a, b, weight),
    adamW: (param, grad, m, v, step, options) => adamW(gpu, param, grad, m, v, step, options),
    crossEntropy: (x, w, targets, options) => crossEntropy(gpu, x, w, targets, options),
    crossEntropyBackward: (dLoss, x, w, targets, lse, count, options) =>
      crossEntropyBackward(gpu, dLoss, x, w, targets, lse, count, options),
    crossEntropyLogits: (logits, targets, options) => crossEntropyLogits(gpu, logits, targets, options),
    crossEntropyLogitsBackward: (dLoss, logits, targets, lse, count, options) =>
      crossEntropyLogitsBackward(gpu, dLoss, logits, targets, lse, count, options),
    cummax: (x, options) => cummax(gpu, x, options),
    cummaxBackward: (dValues, indices, options) => cummaxBackward(gpu, dValues, indices, options),
    gradientClip: (grads, maxNorm) => gradientClip(gpu, grads, maxNorm),
    gradientClipFactor: (grads, maxNorm) => gradientClipFactor(gpu, grads, maxNorm),
    gatedFfn: (x, weights, options) => gatedFfn(gpu, x, weights, options),
    gatedFfnBackward: (dy, x, weights, options) => gatedFfnBackward(gpu, dy, x, weights, options),
    gumbelNoise: (key, shape) => gumbelNoise(gpu, key, shape),
    hierarchicalAnn: (vectors, options) => hierarchicalAnn(gpu, vectors, options),
    hierarchicalAnnAdd: (index, newVectors, options) => hierarchicalAnnAdd(gpu, index, newVectors, options),
    hierarchicalAnnSearch: (index, queries, k, options) =>
      hierarchicalAnnSearch(gpu, index, queries, k, options),
    lazyGumbelTopK: (index, balls, queries, k, options) =>
      lazyGumbelTopK(gpu, index, balls, queries, k, options),
    lazyGumbelTopKBalls: (index) => lazyGumbelTopKBalls(gpu, index),
    kMeans: (points, k, options) => kMeans(gpu, points, k, options),
    matmul: (a, b, options) => matmul(gpu, a, b, options),
    matmulBackward: (dy, a, b, options) => matmulBackward(gpu, dy, a, b, options),
    gumbelTopK: (logits, k, options) => gumbelTopK(gpu, logits, k, options),
    gumbelTopKBackward: (dKHot, logits, k, options) => gumbelTopKBackward(gpu, dKHot, logits, k, options),
    gumbelTopKRelaxed: (logits, k, options) => gumbelTopKRelaxed(gpu, logits, k, options),
    prefixMask: (logits, words, offsets, prefixes, prefixOffsets, options) =>
      prefixMask(gpu, logits, words, offsets, prefixes, prefixOffsets, options),
    prefixMaskBackward: (dy, words, offsets, prefixes, prefixOffsets, options) =>
      prefixMaskBackward(gpu, dy, words, offsets, prefixes, prefixOffsets, options),
    prefixMaskRange: (words, offsets, prefixes, prefixOffsets) =>
      prefixMaskRange(gpu, words, offsets, prefixes, prefixOffsets),
    randomBits: (key, shape) => randomBits(gpu, key, shape),
    sampleLogits: (logits, options) => sampleLogits(gpu, logits, options),
    topK: (x, k, options) => topK(gpu, x, k, options),
    topKBackward: (dValues, indices, length, options) => topKBackward(gpu, dValues, indices, length, options),
    maxState: (abc, alphas, options) => maxState(gpu, abc, alphas, options),
    maxStateBackward: (dy, abc, alphas, states, options) =>
      maxStateBackward(gpu, dy, abc, alphas, states, options),
    layerNorm: (x, gamma, beta, options) => layerNorm(gpu, x, gamma, beta, options),
    layerNormBackward: (dy, x, gamma, mean, rstd) => layerNormBackward(gpu, dy, x, gamma, mean, rstd),
    skipTuning: (u, d, rho, options) => skipTuning(gpu, u, d, rho, options),
    skipTuningBackward: (dy, u, d, rho, options) => skipTuningBackward(gpu, dy, u, d, rho, options),
    softmax: (x, options) => softmax(gpu, x, options),
    softmaxBackward: (dy, y, options) => softmaxBackward(gpu, dy, y, options),
    splitMinSum: (n) => splitMinSum(gpu, n),
    smoothTopK: (x, k, options) => smoothTopK(gpu, x, k, options),
    smoothTopKBackward: (dValues, x, k, options) => smoothTopKBackward(gpu, dValues, x, k, options),
    smoothTopKJvp: (tangent, x, k, options) => smoothTopKJvp(gpu, tangent, x, k, options),
    gatherRows: (table, ids) => gatherRows(gpu, table, ids),
    gatherRowsBackward: (dy, table, ids) => gatherRowsBackward(gpu, dy, table, ids),
    gelu: (x, options) => gelu(gpu, x, options),
    geluBackward: (dy, x, options) => geluBackward(gpu, dy, x, options),
    localIds: (ids, words) => localIds(gpu, ids, words),
    scoreInt8: (queries, queryScales, codes, scales) => scoreInt8(gpu, queries, queryScales, codes, scales),
    maskBySubVocab: (logits, words) => maskBySubVocab(gpu, logits, words),
    maskBySubVocabBackward: (dy, words) => maskBySubVocabBackward(gpu, dy, words),
    subVocabHead: (x, table, words, options) => subVocabHead(gpu, x, table, words, options),
    subVocabHeadBackward: (dLogits, x, table, words, options) =>
      subVocabHeadBackward(gpu, dLogits, x, table, words, options),
    sampledCrossEntropy: (x, table, words, targets, options) =>
      sampledCrossEntropy(gpu, x, table, words, targets, options),
    sampledCrossEntropyBackward: (dLoss, x, table, words, targets, lse, count, options) =>
      sampledCrossEntropyBackward(gpu, dLoss, x, table, words, targets, lse, count, options),
    poolQuery: (x, positions, options) => poolQuery(gpu, x, positions, options),
    poolQueryBackward: (dQueries, x, positions, options) =>
      poolQueryBackward(gpu, dQueries, x, positions, options),
    inclusionLoss: (scores, targets, k, options) => inclusionLoss(gpu, scores, targets, k, options),
    inclusionLossBackward: (dLoss, scores, targets, k, count, threshold, rival, options) =>
      inclusionLossBackward(gpu, dLoss, scores, targets, k, count, threshold, rival, options),
    multiHeadAttention: (q, k, v, options) => multiHeadAttention(gpu, q, k, v, options),
    multiHeadAttentionBackward: (dy, q, k, v, y, lse, options) =>
      multiHeadAttentionBackward(gpu, dy, q, k, v, y, lse, options),
    sparsemax: (x) => sparsemax(gpu, x),
    sparsemaxBackward: (dy, y) => sparsemaxBackward(gpu, dy, y),
    identityLoss: (x, goal, options) => identityLoss(gpu, x, goal, options),
    identityLossBackward: (dLoss, x, goal, options) => identityLossBackward(gpu, dLoss, x, goal, options),
    driftLoss: (x, table, forms, options) => driftLoss(gpu, x, table, forms, options),
    driftLossBackward: (dLoss, x, table, forms, count, norm, options) =>
      driftLossBackward(gpu, dLoss, x, table, forms, count, norm, options),
    surfaceForms: (words, offsets, pieces, pieceOffsets, ids, costs, options) =>
      surfaceForms(gpu, words, offsets, pieces, pieceOffsets, ids, costs, options),
    cosineTopK: (q, table, k) => cosineTopK(gpu, q, table, k),
  };
}
