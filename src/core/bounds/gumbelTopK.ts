import { compareBound, compareExact, unitNearest, unitWgsl, type Verdict } from '../bounds.ts';
import { type Key, threefry2x32 } from '../key.ts';
import type { Relaxation } from '../ops/gumbelTopK.ts';
import type { Tensor } from '../tensor.ts';
import type { Call, Judge } from './judge.ts';
import { boundRow, type RowBound } from './lib/relaxations.ts';

/** The selection, its scores and the threshold compare exactly; logInclusion by the error of its formula. */
export const judgeGumbelTopK: Judge = ({ inputs, want, got }) => {
  const verdicts: Record<string, Verdict> = {};
  for (const [name, t] of Object.entries(want)) {
    verdicts[name] =
      name === 'logInclusion' ? judgeLogInclusion(inputs.logits!, want, got) : compareExact(t, got[name]!);
  }
  return verdicts;
};

function judgeLogInclusion(logits: Tensor, want: Call['want'], got: Call['got']): Verdict {
  const { logInclusion, indices, threshold } = want;
  const length = logits.shape.at(-1)!;
  const k = logInclusion!.shape.at(-1)!;
  const u = unitWgsl;
  const fail = new Float64Array(logInclusion!.size);
  for (let i = 0; i < fail.length; i++) {
    const row = Math.floor(i / k);
    const at = indices!.data[i]!;
    const kappa = threshold!.data[row]!;
    if (at < 0 || kappa === Number.NEGATIVE_INFINITY) continue;
    const z = logits.data[row * length + at]! - kappa;
    const y = Math.exp(z);
    const value = Math.abs(logInclusion!.data[i]!);
    // z is rounded once, and exp(z) is off by (3 + 2|z|) u more; d log q / dz = y / (e^y - 1).
    const slope = y > 700 ? 0 : y / Math.expm1(y) || 1;
    const ofY = (3 + 3 * Math.abs(z)) * u;
    const e = Math.exp(-y);
    const ofFormula =
      y < 1
        ? 6 * u * (Math.abs(z) + y) + y * ofY + 2e-7 * y ** 8
        : (e / (1 - e)) * ((3 + 2 * y) * u + y * ofY) + 16 * u * value;
    fail[i] = slope * u * Math.abs(z) + ofFormula + unitNearest * value + 2 ** -126;
  }
  const why =
    'log(1 - exp(-exp(z))): one rounding of z, exp within (3 + 2|x|) ulp, the series and its roundings';
  return compareBound(logInclusion!, got.logInclusion!, { fail, why });
}

export const judgeGumbelTopKRelaxed: Judge = (call) => {
  const fail = new Float64Array(call.want.relaxed!.size);
  const suspect = new Float64Array(fail.length);
  eachRow(call, (bound, taking) => {
    taking.forEach((at, i) => {
      fail[at] = bound.values[i]!;
      suspect[at] = Math.min(bound.valuesSuspect?.[i] ?? Infinity, fail[at]!);
    });
  });
  const why = 'roundings of each term, of their sum and so of lambda (tables: of each step), to first order';
  return { relaxed: compareBound(call.want.relaxed!, call.got.relaxed!, { fail, suspect, why }) };
};

export const judgeGumbelTopKBackward: Judge = (call) => {
  const { dKHot, positions, logits } = call.inputs;
  const length = logits!.shape.at(-1)!;
  const dense = new Float64Array(logits!.size);
  if (positions === undefined) dense.set(dKHot!.data);
  else {
    const slots = positions.shape.at(-1)!;
    positions.data.forEach((i, at) => {
      if (i >= 0) dense[Math.floor(at / slots) * length + i]! += dKHot!.data[at]!;
    });
  }
  const fail = new Float64Array(dense.length);
  eachRow(call, (bound, taking) => {
    const limits = bound.gradient(Float64Array.from(taking, (at) => dense[at]!));
    taking.forEach((at, i) => {
      fail[at] = limits[i]! + unitNearest * Math.abs(call.want.dLogits!.data[at]!);
    });
  });
  const why =
    'roundings of the slopes, of their sums, of lambda and of the mean (tables: of each step), to first order';
  return { dLogits: compareBound(call.want.dLogits!, call.got.dLogits!, { fail, why }) };
};

/** The bounds of every row, with the flat positions that take part in it. */
function eachRow(call: Call, body: (bound: RowBound, taking: readonly number[]) => void): void {
  const { logits, noise, mask } = call.inputs;
  const {
    relaxation = 'thresholdExp',
    temperature = 1,
    k,
    key,
  } = call.options as {
    relaxation?: Relaxation;
    temperature?: number;
    k: number;
    key?: Key;
  };
  const length = logits!.shape.at(-1)!;
  const rows = length > 0 ? logits!.size / length : 0;
  for (let r = 0; r < rows; r++) {
    const taking: number[] = [];
    for (let at = r * length; at < (r + 1) * length; at++) {
      if (mask?.data[at] !== 0 && logits!.data[at] !== Number.NEGATIVE_INFINITY) taking.push(at);
    }
    const scores = Float64Array.from(taking, (at) => {
      const added = noise?.data[at] ?? (key === undefined ? 0 : noiseAt(key, at));
      return Math.fround(logits!.data[at]! + added);
    });
    const largest = scores.reduce((a, s) => Math.max(a, Math.abs(s)), 0);
    const blur = key === undefined ? 0 : 3e-6 + largest * unitWgsl;
    body(boundRow(relaxation, scores, Math.min(k, taking.length), temperature, blur), taking);
  }
}

const words = new Uint32Array(2);

/** -log(-log(u)) by the formula, which the noise of the twins follows within half an ulp and 1.2e-7. */
function noiseAt(key: Key, i: number): number {
  threefry2x32(key, Math.floor(i / 2 ** 32), i >>> 0, words);
  const first = (words[0]! ^ words[1]!) >>> 0;
  const upper = first >= 2 ** 31;
  const [high, low] = upper ? [2 ** 32 - 1 - first, 2 ** 32 - 1 - words[1]!] : [first, words[1]!];
  const p = (high * 2 ** 32 + low + 0.5) * 2 ** -64;
  return -Math.log(upper ? -Math.log1p(-p) : -Math.log(p));
}
