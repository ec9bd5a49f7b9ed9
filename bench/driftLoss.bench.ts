import { driftGradientInputs, driftInputs } from '../src/verify/driftLoss.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';

/** The rows of a sampled vocabulary, a third of which the source has. */
export function benchmarks(_tier: Tier): Benchmark[] {
  const [rows, width, source, length] = [4096, 128, 2048, 7];
  const inputs = () => driftInputs(rows, width, source, length);
  const shape = `[${rows}, ${width}]`;
  return [
    { op: 'driftLoss', shape, inputs, bytes: rows * width * 8 },
    { op: 'driftLossBackward', shape, inputs: () => driftGradientInputs(inputs()), bytes: rows * width * 12 },
  ];
}
