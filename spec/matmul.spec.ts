import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge } from '../src/core/bounds/index.ts';
import { type Verdict, worstOf } from '../src/core/bounds.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { multiply, type Tile } from '../src/gpu/matmul.ts';
import { matmul, matmulBackward } from '../src/ref/matmul.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/matmul.ts';
import { describeDevice } from './support/device.ts';
import { dot, expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { exactFloat, size, tameFloat, tensorOf, wideFloat } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu, runRef } from './support/twins.ts';
import { decode, describeVectors, readVectors } from './support/vectors.ts';

// Plan: vectors from torch in f64, which the reference meets to the last bit or its neighbour; laws of the reference
// (linearity, blocks of K, transposition, powers of two, gradients by finite differences and as a transpose); the kernels
// equal the reference exactly on integers and within the bound on everything else, around every tile edge, for every
// combination of transposes and broadcast batches; a row alone has the bits of the row in a batch, whatever the tile;
// wrong kernels are rejected, those that only lose precision included; bad calls are refused.

describeVectors('matmul');

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const noisy = (shape: readonly number[], seed: number): Tensor =>
  tensor(shape, noiseArray(count(shape), seed));
const wide = (shape: readonly number[], seed: number): Tensor =>
  tensor(shape, Float64Array.from(noiseArray(count(shape), seed)));
const turned = (shape: readonly number[], swap: boolean): number[] =>
  swap ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : [...shape];

const edges = [3, 4, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65];
const batches = fc.constantFrom<[number[], number[]]>(
  [[], []],
  [[], []],
  [[2], []],
  [[], [3]],
  [[2], [2]],
  [
    [2, 1],
    [1, 3],
  ],
  [[2, 3], [3]],
  [[1, 2, 1], [3]],
);

/** A call with sizes around the tile edges, any transposes, batches that broadcast, and perhaps a bias. */
function calls(element: fc.Arbitrary<number>) {
  const length = size(66, edges);
  return fc
    .tuple(length, length, length, batches, fc.boolean(), fc.boolean(), fc.boolean())
    .chain(([m, n, k, [batchA, batchB], transposeA, transposeB, biased]) =>
      fc.record({
        inputs: fc.record({
          a: tensorOf(element, fc.constant(turned([...batchA, m, k], transposeA))),
          b: tensorOf(element, fc.constant(turned([...batchB, k, n], transposeB))),
          bias: biased ? tensorOf(element, fc.constant([n])) : fc.constant(undefined),
        }),
        options: fc.constant({ transposeA, transposeB }),
      }),
    );
}

describe('the reference', () => {
  test('is the oracle to the last bit of f32, or its neighbour', () => {
    for (const c of readVectors('matmul').cases) {
      const inputs = Object.fromEntries(Object.entries(c.inputs).map(([k, v]) => [k, decode(v)]));
      const got = runRef(c.op, inputs, c.options);
      for (const [name, v] of Object.entries(c.outputs)) {
        const want = decode(v);
        for (let i = 0; i < want.size; i++) {
          const w = want.data[i]!;
          const ulp = Math.max(2 ** (Math.floor(Math.log2(Math.abs(w))) - 23), 2 ** -149);
          expect(Math.abs(got[name]!.data[i]! - w) <= ulp, `${c.name}, ${name}[${i}]`).toBe(true);
        }
      }
    }
  });

  test('is linear in each factor', () => {
    const [a, a2, b] = [wide([4, 7], 1), wide([4, 7], 2), wide([7, 5], 3)];
    const both = tensor(
      a.shape,
      Float64Array.from(a.data, (v, i) => 3 * v - 2 * a2.data[i]!),
    );
    const [y, y2, sum] = [matmul(a, b), matmul(a2, b), matmul(both, b)];
    sum.data.forEach((v, i) => {
      expect(v).toBeCloseTo(3 * y.data[i]! - 2 * y2.data[i]!, 12);
    });
  });

  test('cut along K, the parts add up to the whole', () => {
    const [a, b] = [wide([3, 9], 4), wide([9, 4], 5)];
    const left = matmul(a, b);
    const cut = (t: Tensor, from: number, to: number): Tensor =>
      tensor(
        [3, to - from],
        Float64Array.from({ length: 3 * (to - from) }, (_, i) => {
          const width = to - from;
          return t.data[Math.floor(i / width) * 9 + from + (i % width)]!;
        }),
      );
    const head = matmul(cut(a, 0, 4), tensor([4, 4], b.data.slice(0, 16)));
    const tail = matmul(cut(a, 4, 9), tensor([5, 4], b.data.slice(16)));
    left.data.forEach((v, i) => {
      expect(v).toBeCloseTo(head.data[i]! + tail.data[i]!, 12);
    });
  });

  test('(a b)ᵀ = bᵀ aᵀ, bit for bit', () => {
    const [a, b] = [noisy([6, 11], 6), noisy([11, 7], 7)];
    const y = matmul(a, b);
    const t = matmul(b, a, { transposeA: true, transposeB: true });
    for (let r = 0; r < 6; r++) for (let c = 0; c < 7; c++) expect(t.data[c * 6 + r]).toBe(y.data[r * 7 + c]);
  });

  test('the gradient agrees with central differences, for transposes, ranks and broadcasts', () => {
    for (const [batchA, batchB] of [
      [[], []],
      [[2], []],
      [[], [3]],
      [
        [2, 1],
        [1, 3],
      ],
      [[2, 3], [3]],
    ]) {
      for (const transposeA of [false, true]) {
        for (const transposeB of [false, true]) {
          const options = { transposeA, transposeB };
          expectGradient(
            [
              noisy(turned([...batchA!, 3, 4], transposeA), 1),
              noisy(turned([...batchB!, 4, 2], transposeB), 2),
              noisy([2], 3),
            ],
            ([a, b, bias]) => [matmul(a!, b!, { ...options, bias: bias! })],
            ([a, b], [dy]) => {
              const g = matmulBackward(dy!, a!, b!, options);
              return [g.da, g.db, g.dBias];
            },
          );
        }
      }
    }
  });

  test('the backward is the transpose of the product: <dy, a b> = <da, a> = <db, b>', () => {
    const [a, b, dy] = [wide([2, 3, 4], 1), wide([4, 5], 2), wide([2, 3, 5], 3)];
    const { da, db } = matmulBackward(dy, a, b);
    const whole = dot(dy, matmul(a, b));
    expect(dot(da, a)).toBeCloseTo(whole, 12);
    expect(dot(db, b)).toBeCloseTo(whole, 12);
  });
});

describe('bad calls are refused before any work', () => {
  const a = noisy([2, 3], 1);
  test.each([
    [() => matmul(a, noisy([4, 2], 1)), 'matmul: a of shape [2, 3] has K = 3, b of shape [4, 2] has K = 4'],
    [
      () => matmul(a, noisy([3, 2], 1), { transposeB: true }),
      'b of shape [3, 2] transposed has K = 2; they must be equal',
    ],
    [() => matmul(tensor([3], [1, 2, 3]), a), 'a has shape [3]; it must have at least two axes'],
    [() => matmul(noisy([2, 2, 3], 1), noisy([3, 3, 1], 1)), 'batch axes [2] of a and [3] of b do not fit'],
    [() => matmul(a, wide([3, 2], 1)), 'b has dtype f64; it takes f32'],
    [() => matmul(a, noisy([3, 2], 1), { bias: noisy([3], 1) }), 'bias has shape [3]; it must be [2]'],
    [() => matmulBackward(a, a, noisy([3, 2], 1)), 'matmulBackward: dy has shape [2, 3]; it must be [2, 2]'],
    [
      () => matmul(noisy([2, 1, 2, 1, 2, 1, 1], 1), noisy([1, 2, 1, 2, 1, 1, 1], 1)),
      'alternate between broadcast and not 5 times',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

/** Twins on random data, whose roundings are independent: also tested for lost precision and bias. */
async function compareIndependent(
  gpu: Parameters<typeof compareTwins>[0],
  inputs: Record<string, Tensor>,
  options: Record<string, unknown> = {},
): Promise<Verdict> {
  const want = runRef('matmul', inputs, options);
  const got = await runGpu(gpu, 'matmul', inputs, options);
  return worstOf(Object.values(judge('matmul', { inputs, options, want, got, independent: true })));
}

const wrongTiles: readonly Mutant[] = [
  {
    name: 'the last tile of K is dropped',
    from: 'start < params.k; start',
    to: 'start + TILE_K <= params.k; start',
  },
  {
    name: 'the last step of a tile is dropped',
    from: 'step < TILE_K; step++',
    to: 'step < TILE_K - 1u; step++',
  },
  { name: 'steps past K are read', from: 'step < params.k)', to: 'step <= params.k)', all: true },
  { name: 'the bias is dropped', from: 'if (params.hasBias != 0u) {', to: 'if (params.hasBias > 1u) {' },
  {
    name: 'a row at the edge is stale',
    from: 'row + 2u, row + 3u);',
    to: 'row + 2u, row + 4u);',
  },
  {
    name: 'columns of the right half are shifted',
    from: 'c + 4u * TILE_X, right',
    to: 'c + 4u * TILE_X + 1u, right',
  },
  { name: 'the batch of b is ignored', from: 'itemOf(batchIndex, params.bStrides)', to: '0u', all: true },
  {
    name: 'a is rounded to 10 bits, as f16 would',
    from: 'fma(vec4f(above[i]), l, left[i])',
    to: 'fma(vec4f(bitcast<f32>(bitcast<u32>(above[i]) & 0xffffe000u)), l, left[i])',
  },
];
const wrongPanels: readonly Mutant[] = [
  {
    name: 'the last steps of K are dropped',
    from: 'step < params.steps; step++',
    to: 'step + 1u < params.steps; step++',
  },
  { name: 'one step of four is left out', from: ' + a.w * b[3]', to: '' },
  { name: 'two rows are exchanged', from: 'rowOf(a, 14u)', to: 'rowOf(a, 13u)' },
  { name: 'the bias is dropped', from: 'if (params.hasBias != 0u)', to: 'if (params.hasBias > 1u)' },
  { name: 'the last row of a panel is stale', from: 'r < rows; r++', to: 'r < rows - 1u; r++' },
  { name: 'the batch of a is ignored', from: 'itemOf(batchIndex, params.aStrides)', to: '0u' },
  {
    name: 'a is rounded to 10 bits, as f16 would',
    from: 'return textureLoad(aPanels, texelAt(i, params.aBits));',
    to: 'return bitcast<vec4f>(bitcast<vec4u>(textureLoad(aPanels, texelAt(i, params.aBits))) & vec4u(0xffffe000u));',
  },
];
const wrongPacking: readonly Mutant[] = [
  {
    name: 'packing leaves out the last column',
    from: 'column + j < packing.columns',
    to: 'column + j + 1u < packing.columns',
    all: true,
  },
  {
    name: 'packing ignores the row stride',
    from: 'source.row * packing.rowStride',
    to: 'source.row',
    all: true,
  },
  { name: 'blocks are not transposed', from: 'transpose(rows)', to: 'rows' },
  {
    name: 'sums leave out the last row of a chunk',
    from: 'min((chunk + 1u) * sums.chunk, sums.rows)',
    to: 'min((chunk + 1u) * sums.chunk, sums.rows) - 1u',
  },
];
const wrongRows: readonly Mutant[] = [
  { name: 'the last step is dropped', from: 'step < params.k; step++', to: 'step + 1u < params.k; step++' },
  { name: 'two rows are exchanged', from: 's1 += a[at.y] * v;', to: 's1 += a[at.z] * v;' },
  { name: 'a row at the edge is stale', from: 'store(batchIndex, row + 3u, column, s3);', to: '' },
];

describeDevice('the kernel', (gpu, family) => {
  const integerCheck =
    (shapeA: number[], shapeB: number[], options: Record<string, unknown> = {}, bias = 0) =>
    () =>
      compareTwins(
        gpu(),
        'matmul',
        {
          a: tensor(shapeA, noiseArray(count(shapeA), 1).map((v) => Math.round(8 * v)) as Float32Array),
          b: tensor(shapeB, noiseArray(count(shapeB), 2).map((v) => Math.round(8 * v)) as Float32Array),
          bias:
            bias > 0
              ? tensor([bias], noiseArray(bias, 3).map((v) => Math.round(80 * v)) as Float32Array)
              : undefined,
        },
        options,
      );
  const checks = {
    'aligned sizes, bias': integerCheck([20, 24], [24, 36], {}, 36),
    'odd sizes': integerCheck([19, 23], [23, 37]),
    'broadcast batches': integerCheck([2, 1, 5, 6], [3, 6, 7]),
    'both transposed': integerCheck([24, 20], [36, 24], { transposeA: true, transposeB: true }),
    'odd sizes, both transposed': integerCheck([23, 19], [37, 23], { transposeA: true, transposeB: true }),
    gradients: () =>
      compareTwins(gpu(), 'matmulBackward', {
        dy: noisy([70, 9], 1),
        a: noisy([70, 6], 2),
        b: noisy([6, 9], 3),
      }),
    'lost precision': () => compareIndependent(gpu(), { a: noisy([33, 300], 4), b: noisy([300, 40], 5) }),
  };

  test('equals the reference exactly on integers', async () => {
    await fc.assert(
      fc.asyncProperty(calls(exactFloat), async ({ inputs, options }) => {
        const want = runRef('matmul', inputs, options).y!;
        const got = (await runGpu(gpu(), 'matmul', inputs, options)).y!;
        expect(got.shape).toEqual(want.shape);
        // Numbers, not bits: a sum of nothing but zeros may have either sign.
        expect(got.data.findIndex((v, i) => v !== want.data[i])).toBe(-1);
      }),
      { numRuns: 80 },
    );
  });

  test('equals the reference within the bound', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(calls(tameFloat), calls(wideFloat)), ({ inputs, options }) =>
        expectTwins(gpu(), 'matmul', inputs, options),
      ),
      { numRuns: 40 },
    );
    for (const c of cases.filter((c) => (c.flops ?? 0) < 1e8)) {
      await expectTwins(gpu(), c.op, c.inputs(), c.options);
    }
    expect((await checks['lost precision']()).verdict).toBe('PASS');
  });

  test('has the gradients of the reference', async () => {
    const backward = fc.oneof(calls(tameFloat), calls(wideFloat)).chain(({ inputs, options }) => {
      const y = runRef('matmul', inputs, options).y!;
      return fc.record({
        a: fc.constant(inputs.a),
        b: fc.constant(inputs.b),
        dy: tensorOf(fc.oneof(tameFloat, wideFloat), fc.constant(y.shape)),
        options: fc.constant(options),
      });
    });
    await fc.assert(
      fc.asyncProperty(backward, ({ options, ...inputs }) =>
        expectTwins(gpu(), 'matmulBackward', inputs, options),
      ),
      { numRuns: 40 },
    );
  });

  test('a row alone has the bits of the row in a batch', async () => {
    const a = noisy([37, 51], 1);
    const b = noisy([51, 45], 2);
    const whole = (await runGpu(gpu(), 'matmul', { a, b })).y!;
    for (const r of [0, 16, 36]) {
      const row = tensor([1, 51], a.data.slice(r * 51, (r + 1) * 51));
      const alone = (await runGpu(gpu(), 'matmul', { a: row, b })).y!;
      expect([...alone.data]).toEqual([...whole.data.slice(r * 45, (r + 1) * 45)]);
    }
    const batch = (await runGpu(gpu(), 'matmul', { a: tensor([37, 1, 51], a.data), b })).y!;
    expect([...batch.data]).toEqual([...whole.data]);
    // Transposed, the batch is not joined into one product.
    const turnedA = tensor([37, 51, 1], a.data);
    const apart = (await runGpu(gpu(), 'matmul', { a: turnedA, b }, { transposeA: true })).y!;
    expect([...apart.data]).toEqual([...whole.data]);
  });

  test('scaling by a power of two is exact', async () => {
    const a = noisy([20, 30], 3);
    const b = noisy([30, 20], 4);
    const y = (await runGpu(gpu(), 'matmul', { a, b })).y!;
    const scaled = tensor(a.shape, a.data.map((v) => v * 2 ** 12) as Float32Array);
    const y2 = (await runGpu(gpu(), 'matmul', { a: scaled, b })).y!;
    expect([...y2.data]).toEqual([...y.data].map((v) => v * 2 ** 12));
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.filter((c) => (c.flops ?? 0) < 1e8)) {
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
    }
  });

  if (family === 'gpu') {
    test('the tile does not change a bit', async () => {
      const [m, n, k] = [70, 75, 37];
      using a = gpu().upload(noisy([m, k], 1));
      using b = gpu().upload(noisy([k, n], 2));
      const results: number[][] = [];
      const tiles: Tile[] = [
        { x: 8, y: 8, k: 16 },
        { x: 16, y: 16, k: 16 },
        { x: 4, y: 8, k: 8 },
      ];
      for (const tile of tiles) {
        using y = gpu().empty('f32', [m, n]);
        multiply(gpu(), {
          ...{ m, n, k, batch: 1, groups: [], y, tile },
          a: { tensor: a, items: 1, outer: k, step: 1 },
          b: { tensor: b, items: 1, outer: 1, step: n },
        });
        results.push([...(await y.read()).data]);
      }
      expect(results[1]).toEqual(results[0]);
      expect(results[2]).toEqual(results[0]);
      const { y } = await runGpu(gpu(), 'matmul', { a: noisy([m, k], 1), b: noisy([k, n], 2) });
      expect([...y!.data]).toEqual(results[0]);
    });

    test('wrong tiles are rejected', async () => {
      await expectKills(gpu(), 'matmul.wgsl', wrongTiles, checks);
    });
  } else {
    test('wrong panels are rejected', async () => {
      await expectKills(gpu(), 'matmul.subgroups.wgsl', wrongPanels, checks);
      await expectKills(gpu(), 'matmul.wgsl', wrongPacking, checks);
    });

    test('without subgroups another kernel takes over, right and with the same bits', async () => {
      const inputs = { a: noisy([2, 37, 51], 1), b: noisy([51, 45], 2), bias: noisy([45], 3) };
      const with_ = (await runGpu(gpu(), 'matmul', inputs)).y!;
      Object.defineProperty(gpu(), 'subgroups', { value: false, configurable: true });
      try {
        const without = (await runGpu(gpu(), 'matmul', inputs)).y!;
        expect([...without.data]).toEqual([...with_.data]);
        await fc.assert(
          fc.asyncProperty(calls(exactFloat), ({ inputs, options }) =>
            expectTwins(gpu(), 'matmul', inputs, options),
          ),
          { numRuns: 30 },
        );
        await expectKills(gpu(), 'matmul.wgsl', wrongRows, checks);
      } finally {
        Object.defineProperty(gpu(), 'subgroups', { value: true, configurable: true });
      }
    });
  }
});
