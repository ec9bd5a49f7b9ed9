import { compareExact, failure, type Verdict } from '../bounds.ts';
import { judgeAdamW } from './adamW.ts';
import { judgeAdd } from './add.ts';
import { judgeCosineTopK } from './cosineTopK.ts';
import {
  judgeCrossEntropy,
  judgeCrossEntropyBackward,
  judgeCrossEntropyLogitsBackward,
} from './crossEntropy.ts';
import { judgeCummaxBackward } from './cummax.ts';
import { judgeDriftLoss, judgeDriftLossBackward } from './driftLoss.ts';
import { judgeDropout, judgeDropoutBackward } from './dropout.ts';
import { judgeEmbeddingBackward } from './embedding.ts';
import { judgeGatedFfn, judgeGatedFfnBackward } from './gatedFfn.ts';
import { judgeGatherRowsBackward } from './gatherRows.ts';
import { judgeGelu, judgeGeluBackward } from './gelu.ts';
import { judgeGradientClip } from './gradientClip.ts';
import { judgeGumbelTopK, judgeGumbelTopKBackward, judgeGumbelTopKRelaxed } from './gumbelTopK.ts';
import { judgeAnn, judgeAnnAdd, judgeAnnSearch } from './hierarchicalAnn.ts';
import { judgeIdentityLoss, judgeIdentityLossBackward } from './identityLoss.ts';
import { judgeInclusionLoss, judgeInclusionLossBackward } from './inclusionLoss.ts';
import type { Call, Judge } from './judge.ts';
import { judgeKMeans } from './kMeans.ts';
import { judgeLayerNorm, judgeLayerNormBackward } from './layerNorm.ts';
import { judgeLazyGumbelTopK, judgeLazyGumbelTopKBalls } from './lazyGumbelTopK.ts';
import { judgeLerp, judgeLerpBackward } from './lerp.ts';
import { judgeMatmul, judgeMatmulBackward } from './matmul.ts';
import { judgeMaxState, judgeMaxStateBackward } from './maxState.ts';
import { judgeMixHeads, judgeMixHeadsBackward } from './mixHeads.ts';
import { judgeMultiHeadAttention, judgeMultiHeadAttentionBackward } from './multiHeadAttention.ts';
import { judgePoolQuery, judgePoolQueryBackward } from './poolQuery.ts';
import { judgeSampledCrossEntropy, judgeSampledCrossEntropyBackward } from './sampledCrossEntropy.ts';
import { judgeSampleLogits } from './sampleLogits.ts';
import { judgeScoreInt8 } from './scoreInt8.ts';
import { judgeSkipTuning, judgeSkipTuningBackward } from './skipTuning.ts';
import { judgeSmoothTopK, judgeSmoothTopKBackward, judgeSmoothTopKJvp } from './smoothTopK.ts';
import { judgeSoftmax, judgeSoftmaxBackward } from './softmax.ts';
import { judgeSparsemax, judgeSparsemaxBackward } from './sparsemax.ts';
import { judgeSubVocabHead, judgeSubVocabHeadBackward } from './subVocabHead.ts';

/** Operators whose results are rounded. All others compare exactly. */
const judges: Readonly<Record<string, Judge>> = {
  add: judgeAdd,
  crossEntropy: judgeCrossEntropy,
  crossEntropyBackward: judgeCrossEntropyBackward,
  crossEntropyLogits: judgeCrossEntropy,
  crossEntropyLogitsBackward: judgeCrossEntropyLogitsBackward,
  cummaxBackward: judgeCummaxBackward,
  dropout: judgeDropout,
  dropoutBackward: judgeDropoutBackward,
  embeddingBackward: judgeEmbeddingBackward,
  matmul: judgeMatmul,
  matmulBackward: judgeMatmulBackward,
  gatedFfn: judgeGatedFfn,
  gatedFfnBackward: judgeGatedFfnBackward,
  gumbelTopK: judgeGumbelTopK,
  gumbelTopKBackward: judgeGumbelTopKBackward,
  gumbelTopKRelaxed: judgeGumbelTopKRelaxed,
  lerp: judgeLerp,
  lerpBackward: judgeLerpBackward,
  scoreInt8: judgeScoreInt8,
  sampleLogits: judgeSampleLogits,
  smoothTopK: judgeSmoothTopK,
  smoothTopKBackward: judgeSmoothTopKBackward,
  smoothTopKJvp: judgeSmoothTopKJvp,
  adamW: judgeAdamW,
  gradientClip: judgeGradientClip,
  gradientClipFactor: judgeGradientClip,
  maxState: judgeMaxState,
  maxStateBackward: judgeMaxStateBackward,
  mixHeads: judgeMixHeads,
  mixHeadsBackward: judgeMixHeadsBackward,
  hierarchicalAnn: judgeAnn,
  hierarchicalAnnAdd: judgeAnnAdd,
  hierarchicalAnnSearch: judgeAnnSearch,
  lazyGumbelTopK: judgeLazyGumbelTopK,
  lazyGumbelTopKBalls: judgeLazyGumbelTopKBalls,
  kMeans: judgeKMeans,
  layerNorm: judgeLayerNorm,
  layerNormBackward: judgeLayerNormBackward,
  skipTuning: judgeSkipTuning,
  skipTuningBackward: judgeSkipTuningBackward,
  softmax: judgeSoftmax,
  softmaxBackward: judgeSoftmaxBackward,
  gatherRowsBackward: judgeGatherRowsBackward,
  gelu: judgeGelu,
  geluBackward: judgeGeluBackward,
  subVocabHead: judgeSubVocabHead,
  subVocabHeadBackward: judgeSubVocabHeadBackward,
  sampledCrossEntropy: judgeSampledCrossEntropy,
  sampledCrossEntropyBackward: judgeSampledCrossEntropyBackward,
  poolQuery: judgePoolQuery,
  poolQueryBackward: judgePoolQueryBackward,
  inclusionLoss: judgeInclusionLoss,
  inclusionLossBackward: judgeInclusionLossBackward,
  multiHeadAttention: judgeMultiHeadAttention,
  multiHeadAttentionBackward: judgeMultiHeadAttentionBackward,
  sparsemax: judgeSparsemax,
  sparsemaxBackward: judgeSparsemaxBackward,
  identityLoss: judgeIdentityLoss,
  identityLossBackward: judgeIdentityLossBackward,
  driftLoss: judgeDriftLoss,
  driftLossBackward: judgeDriftLossBackward,
  cosineTopK: judgeCosineTopK,
};

/** Compare the outputs of a call of the named operator. */
export function judge(op: string, call: Call): Record<string, Verdict> {
  for (const name of Object.keys(call.want)) {
    if (call.got[name] === undefined) return { [name]: failure(`the output ${name} is missing`) };
  }
  const by = judges[op];
  if (by !== undefined) return by(call);
  return Object.fromEntries(
    Object.entries(call.want).map(([name, w]) => [name, compareExact(w, call.got[name]!)]),
  );
}
