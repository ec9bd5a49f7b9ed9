import { ArgumentError } from '../core/errors.ts';
import { planSampleLogits, type SampleLogitsOptions } from '../core/ops/sampleLogits.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';
import { gumbelAt } from './gumbelNoise.ts';

/**
 * Draw one word per row of logits.
 *
 * Of the words that take part, the one with the largest logits[j] / temperature + G[j] is drawn, G being the noise that
 * `gumbelNoise(key, logits.shape)` gives: that is a draw from softmax(logits / temperature) over these words. `topK` lets
 * only the k largest logits take part; `topP` then only the fewest largest probabilities whose sum reaches topP (of the
 * sum over the words that `topK` left). Temperature 0 takes the largest logit.
 *
 * @param logits f32 or f64 [..., V]; -Infinity excludes a word
 * @param options.key two u32 words; needed unless the temperature is 0
 * @param options.temperature 0, or from 0.001 to 1000; default 1
 * @param options.topK >= 1; default: no limit
 * @param options.topP in (0, 1]; default 1
 * @returns ids (i32) and logProbs, both shaped like logits without the last axis; the log-probability is that of the
 * plain softmax of the row, whatever the options
 * @throws ShapeError, DTypeError, ArgumentError (also for NaN, +Infinity, and a row without any word)
 * @accuracy f64 inside; the noise is f32, as gumbelNoise gives it
 * @edge Of equal logits the lower index counts as larger. topP keeps at least one word.
 * @source the Gumbel-max trick; nucleus sampling as in Holtzman et al. (2020)
 */
export function sampleLogits(
  logits: Tensor,
  options: SampleLogitsOptions = {},
): Outputs<{ ids: Tensor; logProbs: Tensor }> {
  const plan = planSampleLogits(logits, options);
  const { rows, words, temperature, topK = words, topP = 1 } = plan;
  const ids = new Int32Array(rows);
  const logProbs = allocate(logits.dtype, rows);
  for (let row = 0; row < rows; row++) {
    const x = logits.data.subarray(row * words, (row + 1) * words);
    let largest = 0;
    for (let j = 0; j < words; j++) {
      if (Number.isNaN(x[j]!) || x[j] === Infinity)
        throw new ArgumentError('sampleLogits', `logits[${row}, ${j}] is ${x[j]}; it must be below Infinity`);
      if (x[j]! > x[largest]!) largest = j;
    }
    const top = x[largest]!;
    if (top === -Infinity)
      throw new ArgumentError('sampleLogits', `row ${row} has no word: all its logits are -Infinity`);
    let sum = 0;
    for (let j = 0; j < words; j++) sum += Math.exp(x[j]! - top);

    let id = largest;
    if (temperature !== 0) {
      let best = -Infinity;
      for (const j of candidates(x, top, temperature, topK, topP)) {
        const score = (x[j]! - top) / temperature + gumbelAt(options.key!, row * words + j);
        if (score > best || (score === best && j < id)) {
          best = score;
          id = j;
        }
      }
    }
    ids[row] = id;
    logProbs[row] = x[id]! - top - Math.log(sum);
  }
  return outputs({
    ids: new Tensor('i32', plan.shape, ids),
    logProbs: new Tensor(logits.dtype, plan.shape, logProbs),
  });
}

/** The words of a row that take part. */
function candidates(
  x: ArrayLike<number>,
  top: number,
  temperature: number,
  topK: number,
  topP: number,
): number[] {
  const all: number[] = [];
  for (let j = 0; j < x.length; j++) if (x[j] !== -Infinity) all.push(j);
  if (topK >= all.length && topP === 1) return all;
  all.sort((a, b) => x[b]! - x[a]! || a - b);
  const kept = all.slice(0, topK);
  if (topP === 1) return kept;
  const weights = kept.map((j) => Math.exp((x[j]! - top) / temperature));
  const enough = topP * weights.reduce((total, w) => total + w, 0);
  let sum = 0;
  const last = weights.findIndex((w) => {
    sum += w;
    return sum >= enough;
  });
  return last < 0 ? kept : kept.slice(0, last + 1);
}
