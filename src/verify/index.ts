import { cases as adamW } from './adamW.ts';
import { cases as add } from './add.ts';
import type { Case } from './case.ts';
import { cases as cosineTopK } from './cosineTopK.ts';
import { cases as crossEntropy } from './crossEntropy.ts';
import { cases as cummax } from './cummax.ts';
import { cases as driftLoss } from './driftLoss.ts';
import { cases as dropout } from './dropout.ts';
import { cases as embedding } from './embedding.ts';
import { cases as gatedFfn } from './gatedFfn.ts';
import { cases as gatherRows } from './gatherRows.ts';
import { cases as gelu } from './gelu.ts';
import { cases as gradientClip } from './gradientClip.ts';
import { cases as gumbelNoise } from './gumbelNoise.ts';
import { cases as gumbelTopK } from './gumbelTopK.ts';
import { cases as hierarchicalAnn } from './hierarchicalAnn.ts';
import { cases as identityLoss } from './identityLoss.ts';
import { cases as inclusionLoss } from './inclusionLoss.ts';
import { cases as kMeans } from './kMeans.ts';
import { cases as layerNorm } from './layerNorm.ts';
import { cases as lazyGumbelTopK } from './lazyGumbelTopK.ts';
import { cases as lerp } from './lerp.ts';
import { cases as localIds } from './localIds.ts';
import { cases as maskBySubVocab } from './maskBySubVocab.ts';
import { cases as matmul } from './matmul.ts';
import { cases as maxState } from './maxState.ts';
import { cases as mixHeads } from './mixHeads.ts';
import { cases as multiHeadAttention } from './multiHeadAttention.ts';
import { cases as poolQuery } from './poolQuery.ts';
import { cases as prefixMask } from './prefixMask.ts';
import { cases as randomBits } from './randomBits.ts';
import { cases as sampledCrossEntropy } from './sampledCrossEntropy.ts';
import { cases as sampleLogits } from './sampleLogits.ts';
import { cases as scoreInt8 } from './scoreInt8.ts';
import { cases as skipTuning } from './skipTuning.ts';
import { cases as smoothTopK } from './smoothTopK.ts';
import { cases as softmax } from './softmax.ts';
import { cases as sparsemax } from './sparsemax.ts';
import { cases as splitMinSum } from './splitMinSum.ts';
import { cases as subVocabHead } from './subVocabHead.ts';
import { cases as surfaceForms } from './surfaceForms.ts';
import { cases as topK } from './topK.ts';

/** Everything that `subvocab verify` runs, in the order of the table. */
export const cases: readonly Case[] = [
  ...randomBits,
  ...gumbelNoise,
  ...cummax,
  ...topK,
  ...gumbelTopK,
  ...sampleLogits,
  ...prefixMask,
  ...kMeans,
  ...hierarchicalAnn,
  ...lazyGumbelTopK,
  ...matmul,
  ...gatedFfn,
  ...add,
  ...lerp,
  ...crossEntropy,
  ...gradientClip,
  ...adamW,
  ...dropout,
  ...embedding,
  ...maxState,
  ...mixHeads,
  ...layerNorm,
  ...skipTuning,
  ...softmax,
  ...splitMinSum,
  ...smoothTopK,
  ...gatherRows,
  ...gelu,
  ...localIds,
  ...scoreInt8,
  ...maskBySubVocab,
  ...subVocabHead,
  ...sampledCrossEntropy,
  ...poolQuery,
  ...inclusionLoss,
  ...multiHeadAttention,
  ...sparsemax,
  ...identityLoss,
  ...driftLoss,
  ...surfaceForms,
  ...cosineTopK,
];

export type { Case } from './case.ts';
