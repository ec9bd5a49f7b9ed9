import { geluForms } from '../core/ops/gelu.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const shape = [1568, 512];
const size = 1568 * 512;

/** Arguments within +-8: both tails. */
const plain = (): Tensor =>
  tensor(
    shape,
    noiseArray(size, 1).map((v) => 8 * v),
  );

/** Zeros, subnormals, the ends of both tails, extremes, infinities and NaN. */
export function hardArguments(): Tensor {
  const max = 3.4028234663852886e38;
  const values = [
    0,
    1e-45,
    1e-38,
    1e-20,
    1e-4,
    0.5,
    0.751791,
    1,
    2.5,
    3,
    5,
    8,
    12,
    13.1,
    13.9,
    14.1,
    20,
    1e3,
    1e20,
    max,
    Infinity,
  ];
  const x = tensor([values.length * 2 + 2], [...values, ...values.map((v) => -v), Number.NaN, Number.NaN]);
  new Uint32Array(x.data.buffer)[x.size - 1] = 0xffc00000;
  return x;
}

export const cases: readonly Case[] = geluForms.flatMap((form): Case[] => [
  {
    op: 'gelu',
    label: `${form}, a layer of the seed`,
    shape: '[1568, 512]',
    inputs: () => ({ x: plain() }),
    options: { form },
    bytes: size * 8,
  },
  {
    op: 'gelu',
    label: `${form}, tails, extremes, infinities, NaN`,
    shape: '[44]',
    inputs: () => ({ x: hardArguments() }),
    options: { form },
  },
  {
    op: 'geluBackward',
    label: `${form}, a layer of the seed`,
    shape: '[1568, 512]',
    inputs: () => ({ dy: tensor(shape, noiseArray(size, 2)), x: plain() }),
    options: { form },
    bytes: size * 12,
  },
  {
    op: 'geluBackward',
    label: `${form}, tails, extremes, infinities, NaN`,
    shape: '[44]',
    inputs: () => {
      const x = hardArguments();
      return { dy: tensor(x.shape, noiseArray(x.size, 3)), x };
    },
    options: { form },
  },
]);
