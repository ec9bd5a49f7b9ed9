import { compareBound, gamma, unitNearest, unitWgsl } from '../bounds.ts';
import { relaxationOf, type SmoothTopKOptions } from '../ops/smoothTopK.ts';
import type { Call, Judge } from './judge.ts';
import { boundIterated, boundRow, type RowBound } from './lib/relaxations.ts';

const why = 'roundings of each term, of their sum and so of lambda (tables: of each step), to first order';

export const judgeSmoothTopK: Judge = (call) => {
  const { values, threshold } = call.want;
  const fail = new Float64Array(values?.size ?? 0);
  const suspect = new Float64Array(fail.length);
  const ofThreshold = new Float64Array(threshold?.size ?? 0);
  eachRow(call, (bound, taking, row, scores) => {
    taking.forEach((at, i) => {
      fail[at] = bound.values[i]!;
      suspect[at] = Math.min(bound.valuesSuspect?.[i] ?? Infinity, fail[at]!);
    });
    const largest = scores.reduce((a, s) => Math.max(a, Math.abs(s)), 0);
    if (threshold !== undefined && Number.isFinite(threshold.data[row]!)) {
      ofThreshold[row] = (bound.threshold ?? 0) + 8 * unitWgsl * (largest + Math.abs(threshold.data[row]!));
    }
  });
  return {
    ...(values && { values: compareBound(values, call.got.values!, { fail, suspect, why }) }),
    ...(threshold && { threshold: compareBound(threshold, call.got.threshold!, { fail: ofThreshold, why }) }),
  };
};

export const judgeSmoothTopKBackward: Judge = (call) => {
  const { dx, dK, dTemperature } = call.want;
  const { temperature = 1 } = call.options as SmoothTopKOptions;
  const x = call.inputs.x!;
  const rows = call.want.dK?.size ?? call.want.dTemperature?.size ?? 0;
  const fail = new Float64Array(x.size);
  const ofK = new Float64Array(rows);
  const ofTemperature = new Float64Array(rows);
  eachRow(call, (bound, taking, row, scores) => {
    const g = Float64Array.from(taking, (at) => call.inputs.dValues!.data[at]!);
    const limits = bound.gradient(g);
    // The kernel takes differences to a score of its own choice: any two scores are no further apart than this.
    const reach =
      scores.reduce((a, s) => Math.max(a, s), -Infinity) - scores.reduce((a, s) => Math.min(a, s), Infinity);
    let sum = 0;
    taking.forEach((at, i) => {
      fail[at] = limits[i]! + unitNearest * Math.abs(dx?.data[at] ?? 0);
      sum += limits[i]! * reach + gamma(64 + taking.length / 16) * Math.abs(dx?.data[at] ?? 0) * reach;
    });
    if (taking.length > 0 && rows > 0) {
      ofTemperature[row] = (1.1 * sum) / temperature + 4 * unitWgsl * Math.abs(dTemperature?.data[row] ?? 0);
      ofK[row] = bound.byK?.(g) ?? 0;
    }
  });
  return {
    ...(dx && { dx: compareBound(dx, call.got.dx!, { fail, why }) }),
    ...(dK && { dK: compareBound(dK, call.got.dK!, { fail: ofK, why }) }),
    ...(dTemperature && {
      dTemperature: compareBound(dTemperature, call.got.dTemperature!, { fail: ofTemperature, why }),
    }),
  };
};

export const judgeSmoothTopKJvp: Judge = (call) => {
  const dValues = call.want.dValues!;
  const fail = new Float64Array(dValues.size);
  eachRow(call, (bound, taking) => {
    const v = Float64Array.from(taking, (at) => call.inputs.tangent!.data[at]!);
    const limits = (bound.forward ?? bound.gradient)(v);
    taking.forEach((at, i) => {
      fail[at] = limits[i]! + unitNearest * Math.abs(dValues.data[at]!);
    });
  });
  return { dValues: compareBound(dValues, call.got.dValues!, { fail, why }) };
};

/** The bounds of every row, with the flat positions that take part in it and their scores. */
function eachRow(
  call: Call,
  body: (bound: RowBound, taking: readonly number[], row: number, scores: Float64Array) => void,
): void {
  const x = call.inputs.x!;
  const { method = 'sigmoid', temperature = 1 } = call.options as SmoothTopKOptions;
  const k = call.options.k as number;
  const length = x.shape.at(-1)!;
  for (let row = 0; length > 0 && row < x.size / length; row++) {
    const taking: number[] = [];
    for (let at = row * length; at < (row + 1) * length; at++) {
      if (x.data[at] !== Number.NEGATIVE_INFINITY) taking.push(at);
    }
    const scores = Float64Array.from(taking, (at) => x.data[at]!);
    const count = Math.min(k, taking.length);
    const bound =
      method === 'iteratedSoftmax'
        ? boundIterated(scores, count, temperature)
        : boundRow(relaxationOf[method], scores, count, temperature, 0);
    body(bound, taking, row, scores);
  }
}
