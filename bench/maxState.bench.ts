import { type Tensor, tensor } from '../src/core/tensor.ts';
import { maxState } from '../src/ref/index.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** One layer of the seed, and its backward. No library of the comparison has a running maximum on this layout. */
export function benchmarks(tier: Tier): Benchmark[] {
  const sizes: Sizes = [{ full: 32, small: 32, cpu: 8 }[tier], 49, 512];
  return [forward(sizes), backward(sizes)];
}

type Sizes = readonly [batch: number, length: number, channels: number];

function inputsOf([batch, length, channels]: Sizes): { abc: Tensor; alphas: Tensor } {
  return {
    abc: tensor([batch, length, 3 * channels], uniform(batch * length * channels * 3, 20)),
    alphas: tensor([5], [0.5, 0.5, 0.5, 0.5, 0.5]),
  };
}

function forward(sizes: Sizes): Benchmark {
  const [batch, length, channels] = sizes;
  const plane = batch * length * channels;
  const states = batch * Math.ceil(length / 16) * channels;
  return {
    op: 'maxState',
    shape: `[${batch}, ${length}, ${3 * channels}]`,
    inputs: () => inputsOf(sizes),
    bytes: 4 * (4 * plane + states + batch * channels),
    naive(gpu, inputs) {
      const y = gpu.empty('f32', [batch, length, channels]);
      using maxima = gpu.empty('f32', [batch, length, channels]);
      const rows = batch * channels;
      const params = [rows, channels, length];
      gpu.dispatch({
        file: `${naiveFolder}/maxState.wgsl`,
        entry: 'runningMaximum',
        params,
        reads: [inputs.abc!],
        writes: [maxima],
        groups: [Math.ceil(rows / 64)],
      });
      gpu.dispatch({
        file: `${naiveFolder}/maxState.wgsl`,
        entry: 'mix',
        params,
        reads: [inputs.abc!, inputs.alphas!, maxima],
        writes: [y],
        groups: [Math.ceil(plane / 64)],
      });
      return { y };
    },
  };
}

function backward(sizes: Sizes): Benchmark {
  const [batch, length, channels] = sizes;
  const plane = batch * length * channels;
  const states = batch * Math.ceil(length / 16) * channels;
  return {
    op: 'maxStateBackward',
    shape: `[${batch}, ${length}, ${3 * channels}]`,
    inputs() {
      const { abc, alphas } = inputsOf(sizes);
      const { states } = maxState(abc, alphas);
      return { dy: tensor([batch, length, channels], uniform(plane, 21)), abc, alphas, states };
    },
    bytes: 4 * (7 * plane + states + batch * channels),
  };
}
