import { failure, pass, type Verdict } from '../../src/core/bounds.ts';
import type { Gpu, GpuTensor } from '../../src/gpu/index.ts';
import { naiveFolder } from './benchmark.ts';
import type { Result } from './work.ts';

/** The naive selection from rows of scores: a bitonic sort of all of them. With noise: of their sums. */
export function naiveSelection(
  gpu: Gpu,
  scores: GpuTensor,
  k: number,
  shape: readonly number[],
  noise?: GpuTensor,
): { values: GpuTensor; indices: GpuTensor } {
  const length = scores.shape.at(-1)!;
  const rows = scores.size / length;
  const padded = 2 ** Math.ceil(Math.log2(length));
  const file = `${naiveFolder}/topK.wgsl`;
  const groups = gpu.grid(Math.ceil((rows * padded) / 64));
  const params = (block = 0, distance = 0): number[] => [rows, length, padded, k, block, distance];
  using pairs = gpu.empty('u32', [rows, padded, 2]);
  const make = noise === undefined ? 'makePairs' : 'makeNoisyPairs';
  const reads = noise === undefined ? [scores] : [scores, noise];
  gpu.dispatch({ file, entry: make, params: params(), reads, writes: [pairs], groups });
  for (let block = 2; block <= padded; block *= 2) {
    for (let distance = block / 2; distance >= 1; distance /= 2) {
      gpu.dispatch({ file, entry: 'sortStep', params: params(block, distance), writes: [pairs], groups });
    }
  }
  const values = gpu.empty('f32', shape);
  const indices = gpu.empty('i32', shape);
  const take = gpu.grid(Math.ceil((rows * k) / 64));
  gpu.dispatch({
    file,
    entry: 'takeFirst',
    params: params(),
    reads: [pairs],
    writes: [values, indices],
    groups: take,
  });
  return { values, indices };
}

/**
 * Judge a selection where equal scores may be taken in any order: the values are the wanted ones, each index is there
 * once, and its score is the value beside it.
 */
export function checkSelection(
  [values, indices]: Result,
  wanted: ArrayLike<number>,
  scoreOf: (index: number) => number,
): Verdict {
  if (values === undefined || indices === undefined) return failure('values or indices are missing');
  if (values.length !== wanted.length) return failure(`${values.length} values, wanted ${wanted.length}`);
  const seen = new Set<number>();
  for (let i = 0; i < values.length; i++) {
    if (values[i] !== wanted[i]) return failure(`value ${i} is ${values[i]}, wanted ${wanted[i]}`);
    const index = indices[i]!;
    if (seen.has(index)) return failure(`index ${index} is there twice`);
    seen.add(index);
    if (scoreOf(index) !== values[i])
      return failure(`index ${index} has the score ${scoreOf(index)}, not ${values[i]}`);
  }
  return pass();
}
