import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const methods = ['exp', 'sigmoid', 'laplace', 'clip', 'gradTopK', 'iteratedSoftmax'] as const;

/** Ties, rows that are short, scores far apart. */
const hard = [0, -0, 1, 1, 1, -Infinity, 2, 30, -40, 1.5, -Infinity, 0.25];

export const cases: readonly Case[] = [
  {
    op: 'smoothTopK',
    label: 'a large vocabulary',
    shape: '[200000], k = 8192',
    inputs: () => ({
      x: tensor(
        [200_000],
        noiseArray(200_000, 1).map((v) => 8 * v),
      ),
    }),
    options: { k: 8192 },
    // Read once, written once; the passes over the row come on top.
    bytes: 200_000 * 8,
  },
  ...methods.flatMap((method): Case[] => {
    const options = { k: 7, method, temperature: 0.7 };
    const shape = method === 'iteratedSoftmax' ? [4, 60] : [4, 260];
    const size = shape[0]! * shape[1]!;
    const x = () =>
      tensor(
        shape,
        noiseArray(size, 2).map((v) => hard[Math.floor((v + 1) * 6)]!),
      );
    const given = () => tensor(shape, noiseArray(size, 3));
    const common = { shape: `[${shape.join(', ')}], k = 7`, options };
    return [
      { op: 'smoothTopK', label: `${method}: ties, short rows`, ...common, inputs: () => ({ x: x() }) },
      {
        op: 'smoothTopKBackward',
        label: `${method}: the same`,
        ...common,
        inputs: () => ({ x: x(), dValues: given() }),
      },
      {
        op: 'smoothTopKJvp',
        label: `${method}: the same`,
        ...common,
        inputs: () => ({ x: x(), tangent: given() }),
      },
    ];
  }),
];
