import { type Tensor, tensor } from '../core/tensor.ts';
import { driftLoss } from '../ref/driftLoss.ts';
import { type Case, noise, noiseArray } from './case.ts';

/** Rows, a table, and forms of which a third are one piece; some of those are ids that the table lacks. */
export function driftInputs(
  rows: number,
  width: number,
  source: number,
  length: number,
): Record<'x' | 'table' | 'forms', Tensor> {
  const next = noise(3);
  const forms = new Int32Array(rows * length).fill(-1);
  for (let n = 0; n < rows; n++) {
    const pieces = 1 + Math.floor((next() + 1) * 1.5);
    for (let j = 0; j < Math.min(pieces, length); j++)
      forms[n * length + j] = Math.floor(((next() + 1) / 2) * 1.25 * source);
  }
  return {
    x: tensor([rows, width], noiseArray(rows * width, 1)),
    table: tensor([source, width], noiseArray(source * width, 2)),
    forms: tensor([rows, length], forms),
  };
}

export function driftGradientInputs(inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  const { count, norm } = driftLoss(inputs.x!, inputs.table!, inputs.forms!);
  return { dLoss: tensor([], [0.7]), ...inputs, count, norm };
}

export const cases: readonly Case[] = [
  {
    op: 'driftLoss',
    label: 'a sampled vocabulary',
    shape: '[4096, 128]',
    inputs: () => driftInputs(4096, 128, 2048, 7),
    options: { weight: 0.5 },
    bytes: 4096 * 128 * 8,
  },
  {
    op: 'driftLossBackward',
    label: 'a sampled vocabulary',
    shape: '[4096, 128]',
    inputs: () => driftGradientInputs(driftInputs(4096, 128, 2048, 7)),
    options: { weight: 0.5 },
    bytes: 4096 * 128 * 12,
  },
];
