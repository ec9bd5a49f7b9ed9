import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { failure, pass } from '../src/core/bounds.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { layerNorm, layerNormBackward } from '../src/ref/layerNorm.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/layerNorm.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { type Check, expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu, runRef } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; laws of the reference (mean and deviation of what comes out, shift and scale, the gradient
// by finite differences and its two orthogonalities); the kernels stay within the bound of the reference for both
// families, and a large mean costs them nothing; wrong kernels are rejected; bad calls are refused.

describeVectors('layerNorm');

const product = (shape: readonly number[]): number => shape.reduce((n, s) => n * s, 1);
const random = (shape: readonly number[], seed: number): Tensor =>
  tensor(shape, noiseArray(product(shape), seed));
const wide = (t: Tensor): Tensor => tensor(t.shape, Float64Array.from(t.data));
const around = (shape: readonly number[], center: number, seed: number): Tensor =>
  tensor(
    shape,
    noiseArray(product(shape), seed).map((v) => center + 2 * v),
  );
const constant = (shape: readonly number[], value: number): Tensor =>
  tensor(shape, new Float32Array(product(shape)).fill(value));

const call = fc
  .tuple(fc.constantFrom([], [1], [2], [3, 2], [0], [17]), size(300, [32, 64, 128, 256]))
  .filter(([, width]) => width > 0)
  .chain(([outer, width]) =>
    fc.record({
      inputs: fc.record({
        x: tensorOf(tameFloat, fc.constant([...outer, width])),
        gamma: tensorOf(tameFloat, fc.constant([width])),
        beta: tensorOf(tameFloat, fc.constant([width])),
      }),
      options: fc.constantFrom({}, { eps: 0.5 }, { eps: 1e-12 }),
    }),
  );

describe('the reference', () => {
  const x = wide(random([6, 40], 1));
  const ones = wide(constant([40], 1));
  const zeros = wide(constant([40], 0));

  test('what comes out has mean 0 and mean square variance / (variance + eps)', () => {
    const { y, rstd } = layerNorm(x, ones, zeros, { eps: 0.25 });
    for (let row = 0; row < 6; row++) {
      const part = [...y.data.slice(row * 40, row * 40 + 40)];
      expect(part.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 12);
      const square = part.reduce((a, b) => a + b * b, 0) / 40;
      expect(square).toBeCloseTo(1 - 0.25 * rstd.data[row]! ** 2, 12);
    }
  });

  test('a shift changes nothing, and a scale with the root of eps neither', () => {
    const want = layerNorm(x, ones, zeros).y.data;
    const shifted = layerNorm(tensor([6, 40], x.data.map((v) => v + 3) as Float64Array), ones, zeros).y.data;
    const scaled = layerNorm(tensor([6, 40], x.data.map((v) => 8 * v) as Float64Array), ones, zeros, {
      eps: 64e-5,
    }).y.data;
    for (let i = 0; i < want.length; i++) {
      expect(shifted[i]).toBeCloseTo(want[i]!, 10);
      expect(scaled[i]).toBeCloseTo(want[i]!, 12);
    }
  });

  test('the gradient agrees with central differences', () => {
    for (const shape of [[5], [3, 4], [2, 3, 7], [2, 1]] as const) {
      const width = shape.at(-1)!;
      expectGradient(
        [random(shape, 2), random([width], 3), random([width], 4)],
        ([x, gamma, beta]) => [layerNorm(x!, gamma!, beta!, { eps: 0.1 }).y],
        ([x, gamma, beta], [dy]) => {
          const { mean, rstd } = layerNorm(x!, gamma!, beta!, { eps: 0.1 });
          const g = layerNormBackward(dy!, x!, gamma!, mean, rstd);
          return [g.dx, g.dGamma, g.dBeta];
        },
      );
    }
  });

  test('dx of a row adds up to nothing, and so does dx u without eps', () => {
    const { y, mean, rstd } = layerNorm(x, ones, zeros, { eps: 1e-30 });
    const { dx } = layerNormBackward(wide(random([6, 40], 5)), x, wide(random([40], 6)), mean, rstd);
    for (let row = 0; row < 6; row++) {
      let sum = 0;
      let along = 0;
      for (let i = row * 40; i < row * 40 + 40; i++) {
        sum += dx.data[i]!;
        along += dx.data[i]! * y.data[i]!;
      }
      expect(sum).toBeCloseTo(0, 12);
      expect(along).toBeCloseTo(0, 12);
    }
  });
});

describe('bad calls are refused before any work', () => {
  const x = random([2, 3], 1);
  const three = random([3], 2);
  const two = random([2], 2);
  test.each([
    [() => layerNorm(random([2, 0], 1), random([0], 1), random([0], 1)), 'x has shape [2, 0]; its last axis'],
    [() => layerNorm(tensor([], [1]), three, three), 'layerNorm: x has shape []; its last axis'],
    [() => layerNorm(x, two, three), 'gamma has shape [2]; it must be [3]'],
    [() => layerNorm(x, three, wide(three)), 'beta has dtype f64; it takes f32'],
    [() => layerNorm(x, three, three, { eps: 0 }), 'layerNorm: eps is 0; it must be from 1e-37 to 1e37'],
    [() => layerNorm(x, three, three, { eps: Number.NaN }), 'eps is NaN'],
    [() => layerNormBackward(x, x, three, three, two), 'mean has shape [3]; it must be [2]'],
    [() => layerNormBackward(two, x, three, two, two), 'dy has shape [2]; it must be [2, 3]'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

/** Wrong kernels by the entry points that they change. Those of rows are shared by one invocation and one workgroup. */
const wrong: Record<'rows' | 'quads' | 'tiles' | 'backward' | 'backwardQuads', readonly Mutant[]> = {
  rows: [
    {
      name: 'the remainder of the mean is dropped',
      from: '(x[origin + j] - first) - remainder',
      to: '(x[origin + j] - first)',
    },
    { name: 'divided by D - 1', from: 'sums.y / f32(params.width)', to: 'sums.y / f32(params.width - 1u)' },
    {
      name: 'eps outside of the root',
      from: 'inverseSqrt(variance(sums) + params.eps)',
      to: 'inverseSqrt(variance(sums)) + params.eps',
      all: true,
    },
    { name: 'beta is forgotten', from: ' + beta[j]', to: '' },
    {
      name: 'the last column is left out',
      from: 'j < params.width;',
      to: 'j + 1u < params.width;',
      all: true,
    },
    {
      name: 'a first value far from the mean is kept',
      from: 'if (isFar(sums))',
      to: 'if (false)',
      all: true,
    },
  ],
  tiles: [
    { name: 'a step of the tree is skipped', from: 'half > 0u; half /= 2u', to: 'half > 1u; half /= 2u' },
    {
      name: 'an invocation is left out',
      from: 'vec4f(deviations(origin, first, local, TILE)',
      to: 'vec4f(deviations(origin, first, max(local, 1u), TILE)',
      all: true,
    },
  ],
  quads: [
    {
      name: 'the remainder of the mean is dropped',
      from: '(x4[origin + j] - first) - remainder',
      to: '(x4[origin + j] - first)',
    },
    { name: 'beta is forgotten', from: ' + beta4[j]', to: '' },
    {
      name: 'a column of four is left out of the sum',
      from: 'dot(sums, vec4f(1.0))',
      to: 'dot(sums.xyz, vec3f(1.0))',
    },
  ],
  backward: [
    { name: 'mean(g) is not taken off', from: '((g - means.y) - u * means.z)', to: '(g - u * means.z)' },
    { name: 'mean(g u) is not taken off', from: '((g - means.y) - u * means.z)', to: '(g - means.y)' },
    { name: 'gamma is forgotten', from: 'dy[origin + j] * scale[j]', to: 'dy[origin + j]', all: true },
    {
      name: 'the remainder is left out of u',
      from: '(values[origin + j] - saved[row]) - means.x',
      to: 'values[origin + j] - saved[row]',
    },
    { name: 'the remainder is left out of dGamma', from: 'center[row]) - shift[row])', to: 'center[row]))' },
    {
      name: 'the last row of a chunk is left out',
      from: 'row < min(first + params.chunk, params.rows)',
      to: 'row + 1u < min(first + params.chunk, params.rows)',
    },
    {
      name: 'a chunk is left out',
      from: 'chunk < params.chunks; chunk++',
      to: 'chunk + 1u < params.chunks; chunk++',
    },
  ],
  backwardQuads: [
    { name: 'a column of four is left out of a sum', from: 'dot(sumGC, one)', to: 'sumGC.x' },
    {
      name: 'mean(g) is not taken off',
      from: 'rstd * ((g - means.y) - u * means.z);\n  }\n  remainders',
      to: 'rstd * (g - u * means.z);\n  }\n  remainders',
    },
    { name: 'the deviation is left out of dGamma', from: ' * spread[row]);\n    sumG', to: ');\n    sumG' },
  ],
};

/** The inputs of a backward call that belongs to a forward one. */
function backwardOf(x: Tensor, gamma: Tensor, seed = 7, eps = 1e-5): Record<string, Tensor> {
  const { mean, rstd } = layerNorm(x, gamma, constant(gamma.shape, 0), { eps });
  return { dy: random(x.shape, seed), x, gamma, mean, rstd };
}

describeDevice('the kernel', (gpu, family) => {
  test('stays within the bound of the reference', async () => {
    await fc.assert(
      fc.asyncProperty(call, ({ inputs, options }) => expectTwins(gpu(), 'layerNorm', inputs, options)),
      { numRuns: 80 },
    );
  });

  test('and so does its gradient', async () => {
    await fc.assert(
      fc.asyncProperty(call, ({ inputs: { x, gamma }, options: { eps } }) =>
        expectTwins(gpu(), 'layerNormBackward', backwardOf(x, gamma, 7, eps)),
      ),
      { numRuns: 60 },
    );
  });

  test('what a device flushes stays within the bound', async () => {
    for (const by of [2 ** -127, 2 ** -125, 2 ** -120]) {
      const tiny = (shape: number[], seed: number): Tensor =>
        tensor(shape, random(shape, seed).data.map((v) => v * by) as Float32Array);
      const gamma = tensor([37], random([37], 3).data.map((v) => 1000 * v) as Float32Array);
      const inputs = { x: tiny([5, 37], 1), gamma, beta: tiny([37], 2) };
      await expectTwins(gpu(), 'layerNorm', inputs);
      await expectTwins(gpu(), 'layerNormBackward', backwardOf(inputs.x, gamma));
      const large = random([5, 37], 4);
      await expectTwins(gpu(), 'layerNormBackward', { ...backwardOf(large, gamma), dy: tiny([5, 37], 5) });
    }
  });

  test('a mean of 10000 with a deviation of 1 costs no digit', async () => {
    // The bound allows 10,000 times the error; the kernel takes the rounding of the mean back and does without it.
    const x = around([9, 512], 1e4, 8);
    const [gamma, beta] = [constant([512], 1), constant([512], 0)];
    const want = layerNorm(wide(x), wide(gamma), wide(beta)).y.data;
    const got = (await runGpu(gpu(), 'layerNorm', { x, gamma, beta })).y!.data;
    for (let i = 0; i < want.length; i++) expect(Math.abs(got[i]! - want[i]!)).toBeLessThan(2e-6);
    const inputs = backwardOf(x, random([512], 9));
    const f64 = Object.fromEntries(Object.entries(inputs).map(([k, t]) => [k, wide(t)]));
    const dx = layerNormBackward(f64.dy!, f64.x!, f64.gamma!, f64.mean!, f64.rstd!).dx.data;
    const gotDx = (await runGpu(gpu(), 'layerNormBackward', inputs)).dx!.data;
    for (let i = 0; i < dx.length; i++) expect(Math.abs(gotDx[i]! - dx[i]!)).toBeLessThan(4e-6);
  });

  test('sums over many rows in several chunks', async () => {
    for (const [rows, width] of [
      [1000, 3],
      [513, 64],
      [2100, 1],
    ] as const) {
      await expectTwins(
        gpu(),
        'layerNormBackward',
        backwardOf(random([rows, width], 10), random([width], 11)),
      );
    }
  });

  test('gives the same bits twice', async () => {
    // A software driver needs seconds for a layer of the seed in the other family.
    const some = family === 'gpu' ? cases.filter((c) => c.bytes === undefined) : cases;
    for (const c of some) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
    await expectSameBits(gpu(), 'layerNormBackward', backwardOf(random([90, 130], 1), random([130], 2)));
  });

  test('wrong kernels are rejected', async () => {
    const rows = (shape: readonly [number, number], seed: number) => ({
      x: random(shape, seed),
      gamma: random([shape[1]], seed + 1),
      beta: random([shape[1]], seed + 2),
    });
    const large = { x: around([3, 41], 1e4, 7), gamma: constant([41], 1), beta: constant([41], 0) };
    const large4 = { x: around([3, 40], 1e4, 7), gamma: constant([40], 1), beta: constant([40], 0) };
    // The eight elements that give the first value are outliers.
    const outliers = rows([1, 8201], 8);
    for (let i = 0; i < 8; i++) outliers.x.data[Math.floor((i * 8201) / 8)] = 1e4;
    // Far inside of the bound, as the test above demands of the kernel as it is.
    const accurate = async (op: string, inputs: Record<string, Tensor>, name: string) => {
      const want = runRef(op, inputs)[name]!.data;
      const got = (await runGpu(gpu(), op, inputs))[name]!.data;
      const worst = Math.max(...got.map((v, i) => Math.abs(v - want[i]!)));
      return worst < 1e-5 ? pass() : failure(`off by ${worst}`);
    };
    const kills = (mutants: readonly Mutant[], checks: Readonly<Record<string, Check>>) =>
      expectKills(gpu(), 'layerNorm.wgsl', mutants, checks);
    await kills(family === 'gpu' ? [...wrong.rows, ...wrong.tiles] : wrong.rows, {
      'random rows': () => compareTwins(gpu(), 'layerNorm', rows([5, 41], 1)),
      'a large mean': () => accurate('layerNorm', large, 'y'),
      'outliers for a first value': () => compareTwins(gpu(), 'layerNorm', outliers),
    });
    // The families share the rest.
    if (family === 'gpu') return;
    await kills(wrong.quads, {
      'random rows': () => compareTwins(gpu(), 'layerNorm', rows([5, 40], 1)),
      'a large mean': () => accurate('layerNorm', large4, 'y'),
    });
    const backward = (width: number) => {
      const { x, gamma } = rows([70, width], 4);
      return backwardOf(x, gamma, 8, 0.5);
    };
    await kills(wrong.backward, {
      'random rows': () => compareTwins(gpu(), 'layerNormBackward', backward(7)),
      'dx at a large mean': () => accurate('layerNormBackward', backwardOf(large.x, large.gamma), 'dx'),
      'dGamma at a large mean': () =>
        accurate('layerNormBackward', backwardOf(large.x, large.gamma), 'dGamma'),
    });
    await kills(wrong.backwardQuads, {
      'random rows': () => compareTwins(gpu(), 'layerNormBackward', backward(8)),
    });
  });
});
