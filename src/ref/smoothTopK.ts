import { ArgumentError } from '../core/errors.ts';
import { placeOf } from '../core/ops/gumbelTopK.ts';
import {
  planSmoothTopK,
  planSmoothTopKBackward,
  planSmoothTopKJvp,
  relaxationOf,
  type SmoothTopKOptions,
  type SmoothTopKPlan,
} from '../core/ops/smoothTopK.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';
import { iteratedSoftmax, type Relaxed, relax } from './lib/relaxations.ts';

/**
 * A differentiable top-k of the last axis: numbers with the sum k that tend to k ones and else zeros.
 *
 * exp, sigmoid, laplace, clip: f(x / temperature - lambda), f = min(1, e^y), 1/(1 + e^-y), the distribution function of
 * Laplace, clip(y, 0, 1). gradTopK: marginals of the law on subsets of k with weight e^(sum of x / temperature).
 * iteratedSoftmax: k times values += softmax((1 - values) x), a counter-example: entries exceed 1, the order is not kept.
 *
 * @param x f32 or f64 [..., N]; -Infinity takes no part
 * @param k from 0 to N
 * @param options.method default 'sigmoid'
 * @param options.temperature default 1
 * @returns values, shaped like x, and threshold [...]: temperature lambda, in units of x (0 for the two last methods)
 * @throws ShapeError, DTypeError; ArgumentError also for NaN and +Infinity in x
 * @accuracy f64 inside, rounded once
 * @edge k = 0: zeros, threshold Infinity; k >= what takes part: ones (but for iteratedSoftmax), threshold -Infinity
 * @source kexue.fm 10373; Amos et al. (2019); clip: Wang and Lu (2015), projection onto the capped simplex
 */
export function smoothTopK(
  x: Tensor,
  k: number,
  options: SmoothTopKOptions = {},
): Outputs<{ values: Tensor; threshold: Tensor }> {
  const plan = planSmoothTopK(x, k, options);
  const values = allocate(x.dtype, x.size);
  const threshold = allocate(x.dtype, plan.rows);
  const thresholds = plan.method !== 'gradTopK' && plan.method !== 'iteratedSoftmax';
  eachRow('smoothTopK', plan, x, k, (relaxed, places, r) => {
    places.forEach((at, i) => {
      values[at] = relaxed.values[i]!;
    });
    if (thresholds) threshold[r] = relaxed.threshold ?? (k === 0 ? Infinity : -Infinity);
  });
  return outputs({
    values: new Tensor(x.dtype, x.shape, values),
    threshold: new Tensor(x.dtype, plan.rowShape, threshold),
  });
}

/**
 * Gradient of {@link smoothTopK} by x, k and the temperature.
 *
 * dx = J^T dValues; dTemperature = -sum(dx x) / temperature, since the values depend on x / temperature alone;
 * dK = sum(w dValues) / sum(w) with w = f' for the thresholds, else 0.
 *
 * @param dValues shaped like x
 * @returns dx, shaped like x; dK and dTemperature [...]
 * @throws as {@link smoothTopK}
 * @accuracy f64 inside, rounded once
 * @edge Zeros where all entries are saturated. At a kink of exp or clip the entry counts as saturated.
 * @source as smoothTopK
 */
export function smoothTopKBackward(
  dValues: Tensor,
  x: Tensor,
  k: number,
  options: SmoothTopKOptions = {},
): Outputs<{ dx: Tensor; dK: Tensor; dTemperature: Tensor }> {
  const plan = planSmoothTopKBackward(dValues, x, k, options);
  const [dx, dK, dTemperature] = [x.size, plan.rows, plan.rows].map((n) => allocate(x.dtype, n)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  eachRow('smoothTopKBackward', plan, x, k, (relaxed, places, r) => {
    const g = Float64Array.from(places, (at) => dValues.data[at]!);
    const d = relaxed.backward(g);
    // Rows of d add up to 0: differences to one score keep the digits.
    const base = x.data[places[0] ?? 0] ?? 0;
    let moved = 0;
    places.forEach((at, i) => {
      dx[at] = d[i]!;
      moved += d[i]! * (x.data[at]! - base);
    });
    dTemperature[r] = -moved / plan.temperature + 0;
    dK[r] = relaxed.byK?.(g) ?? 0;
  });
  return outputs({
    dx: new Tensor(x.dtype, x.shape, dx),
    dK: new Tensor(x.dtype, plan.rowShape, dK),
    dTemperature: new Tensor(x.dtype, plan.rowShape, dTemperature),
  });
}

/**
 * The Jacobian of {@link smoothTopK} times a vector: how the values move when x moves by the tangent.
 *
 * @param tangent shaped like x
 * @returns dValues, shaped like x
 * @throws as {@link smoothTopK}
 * @accuracy f64 inside, rounded once
 * @edge All methods but iteratedSoftmax have a symmetric Jacobian, whose rows add up to 0.
 * @source as smoothTopK
 */
export function smoothTopKJvp(
  tangent: Tensor,
  x: Tensor,
  k: number,
  options: SmoothTopKOptions = {},
): Tensor {
  const plan = planSmoothTopKJvp(tangent, x, k, options);
  const dValues = allocate(x.dtype, x.size);
  eachRow('smoothTopKJvp', plan, x, k, (relaxed, places) => {
    const v = Float64Array.from(places, (at) => tangent.data[at]!);
    const d = 'forward' in relaxed ? relaxed.forward(v) : relaxed.backward(v);
    places.forEach((at, i) => {
      dValues[at] = d[i]!;
    });
  });
  return new Tensor(x.dtype, x.shape, dValues);
}

/** Relax every row over the flat positions that take part. */
function eachRow(
  op: string,
  { rows, length, method, temperature }: SmoothTopKPlan,
  x: Tensor,
  k: number,
  body: (
    relaxed: Relaxed | ReturnType<typeof iteratedSoftmax>,
    places: readonly number[],
    row: number,
  ) => void,
): void {
  for (let r = 0; r < rows; r++) {
    const places: number[] = [];
    for (let at = r * length; at < (r + 1) * length; at++) {
      const value = x.data[at]!;
      if (value === Number.NEGATIVE_INFINITY) continue;
      if (!Number.isFinite(value)) {
        throw new ArgumentError(op, `x${placeOf(at, x.shape)} is ${value}; repair the input`);
      }
      places.push(at);
    }
    const scores = Float64Array.from(places, (at) => x.data[at]!);
    const count = Math.min(k, places.length);
    const relaxed =
      method === 'iteratedSoftmax'
        ? iteratedSoftmax(scores, count, temperature)
        : relax(relaxationOf[method], scores, count, temperature);
    body(relaxed, places, r);
  }
}
