import { type Bound, compareBound, compareExact, minNormal, unitWgsl } from '../bounds.ts';
import type { CrossEntropyPlan } from '../ops/crossEntropy.ts';
import {
  planSampledCrossEntropy,
  type SampledCrossEntropyOptions,
  type SampledCrossEntropyPlan,
} from '../ops/sampledCrossEntropy.ts';
import { Tensor } from '../tensor.ts';
import { allowed, gradients, type Line, type Logits, lossBounds, nearest } from './crossEntropy.ts';
import type { Judge } from './judge.ts';

type Inputs = Readonly<Record<string, Tensor | undefined>>;

/** The call as crossEntropy sees it: k words and the target's own column, with the column of each token's target. */
interface Columns {
  readonly plan: SampledCrossEntropyPlan;
  readonly sums: CrossEntropyPlan;
  readonly goals: Tensor;
  readonly logits: Logits;
  /** The word of a token's column, or -1. */
  wordAt(token: number, column: number): number;
}

function columnsOf(inputs: Inputs, options: Readonly<Record<string, unknown>>): Columns {
  const { x, table, words, targets, logInclusion, targetLogInclusion, gates } = inputs;
  const all = { ...options } as SampledCrossEntropyOptions<Tensor>;
  const given = { logInclusion, targetLogInclusion, gates };
  for (const [name, t] of Object.entries(given)) if (t !== undefined) Object.assign(all, { [name]: t });
  const plan = planSampledCrossEntropy(x!, table!, words!, targets!, all);
  const { rows, tokens, k, width, ignoreIndex } = plan;
  const count = rows * tokens;
  const goals = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const own = words!.data.subarray(Math.floor(i / tokens) * k, (Math.floor(i / tokens) + 1) * k);
    const place = own.indexOf(targets!.data[i]!);
    goals[i] = targets!.data[i] === ignoreIndex ? -100 : place < 0 ? k : place;
  }
  const wordAt = (i: number, j: number): number =>
    j < k ? words!.data[Math.floor(i / tokens) * k + j]! : goals[i] === k ? targets!.data[i]! : -1;
  const values = new Float64Array(count * (k + 1)).fill(-Infinity);
  // Of each logit: the sizes of its products, and of what it is corrected by.
  const sizes = new Float64Array(values.length);
  const corrections = new Float64Array(values.length);
  for (let i = 0; i < count; i++) {
    const row = Math.floor(i / tokens);
    for (let j = 0; j <= k; j++) {
      const word = wordAt(i, j);
      if (word < 0) continue;
      const at = i * (k + 1) + j;
      let sum = 0;
      for (let d = 0; d < width; d++) {
        const product = x!.data[i * width + d]! * table!.data[word * width + d]!;
        sum += product;
        sizes[at]! += Math.abs(product);
      }
      const gate = j < k ? Math.log(gates?.data[row * k + j] ?? 1) : 0;
      const subtract =
        j === goals[i]
          ? (targetLogInclusion?.data[i] ?? 0)
          : j < k
            ? (logInclusion?.data[row * k + j] ?? 0)
            : 0;
      values[at] = sum + gate - subtract;
      if (gate === -Infinity) continue;
      const log = gate === 0 ? 0 : Math.max(2 ** -21, 3 * unitWgsl * Math.abs(gate));
      corrections[at] = log + 2 * unitWgsl * (Math.abs(sum) + Math.abs(gate) + Math.abs(subtract));
    }
  }
  const error = (line: Line, i: number, j: number): number => {
    const at = i * (k + 1) + j;
    return line.sum(width + 2) * sizes[at]! + corrections[at]! + (width + 2) * minNormal;
  };
  const sums = {
    tokens: count,
    words: k + 1,
    width,
    ignoreIndex: -100,
    chunk: plan.chunk,
    shape: plan.tokenShape,
  };
  return { plan, sums, goals: new Tensor('i32', plan.tokenShape, goals), logits: { values, error }, wordAt };
}

export const judgeSampledCrossEntropy: Judge = ({ inputs, options, want, got }) => {
  const { sums, goals, logits } = columnsOf(inputs, options);
  const bounds = lossBounds(sums, logits, goals);
  return {
    loss: compareBound(want.loss!, got.loss!, bounds.loss),
    lse: compareBound(want.lse!, got.lse!, bounds.lse),
    count: compareExact(want.count!, got.count!),
  };
};

export const judgeSampledCrossEntropyBackward: Judge = ({ inputs, options, want, got }) => {
  const { plan, sums, goals, logits, wordAt } = columnsOf(inputs, options);
  const { rows, tokens, k, width } = plan;
  const { x, table, gates } = inputs;
  const lines = [allowed, nearest].map((line) => {
    const { g, error } = gradients(sums, logits, { ...inputs, targets: goals }, line);
    const dx = new Float64Array(x!.size);
    const dTable = new Float64Array(table!.size);
    const dGates = new Float64Array(rows * k);
    const chunks = Math.ceil(k / plan.chunk) + 2;
    const overWords = line.sum(k + 2 + chunks);
    const overTokens = line.sum(rows * tokens + rows + 2 + chunks);
    for (let i = 0; i < rows * tokens; i++) {
      for (let j = 0; j <= k; j++) {
        const word = wordAt(i, j);
        if (word < 0) continue;
        const at = i * (k + 1) + j;
        const [e, size] = [error[at]!, Math.abs(g[at]!)];
        const forX = e * (1 + overWords) + size * overWords;
        const forTable = e * (1 + overTokens) + size * overTokens;
        for (let d = 0; d < width; d++) {
          dx[i * width + d]! += forX * Math.abs(table!.data[word * width + d]!) + minNormal;
          dTable[word * width + d]! += forTable * Math.abs(x!.data[i * width + d]!) + minNormal;
        }
        const place = Math.floor(i / tokens) * k + j;
        const gate = j < k ? (gates?.data[place] ?? 0) : 0;
        if (gate > 0) dGates[place]! += ((forTable + 4 * unitWgsl * size) * 1.01) / gate + minNormal;
      }
    }
    return { dx, dTable, dGates };
  });
  const bound = (name: 'dx' | 'dTable' | 'dGates'): Bound => ({
    fail: lines[0]![name],
    suspect: lines[1]![name],
    why: 'the error of each probability (its logit, its correction, 3 + 2|x| ulp of exp) followed through the sums',
  });
  return Object.fromEntries(
    Object.keys(want).map((name) => [
      name,
      compareBound(want[name]!, got[name]!, bound(name as 'dx' | 'dTable' | 'dGates')),
    ]),
  );
};
