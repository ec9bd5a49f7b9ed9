import { failure, pass, type Verdict } from '../src/core/bounds.ts';
import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { gumbelNoise } from '../src/ref/gumbelNoise.ts';
import { gumbelTopK } from '../src/ref/gumbelTopK.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';
import { checkSelection, naiveSelection } from './support/selection.ts';
import { type Result, uniform, type Work } from './support/work.ts';

/** A sub-vocabulary of 8,192 out of a million: with given noise, as everybody can, and drawn from a key. */
export function benchmarks(tier: Tier): Benchmark[] {
  const n = tier === 'small' ? 100_000 : 1_000_000;
  const k = tier === 'small' ? 1024 : 8192;
  const logits = (): Float32Array => uniform(n, 21, 4);
  const noise = (): Float32Array => gumbelNoise(key(22), [n]).data as Float32Array;
  const given: Benchmark = {
    op: 'gumbelTopK',
    label: 'noise given',
    shape: `[${n}] k ${k}`,
    inputs: () => ({ logits: tensor([n], logits()), noise: tensor([n], noise()) }),
    options: { k },
    bytes: n * 8 + k * 12,
    target: tier === 'cpu' ? 1 : 5,
    ...(tier === 'cpu'
      ? {}
      : {
          prediction: {
            ratio: 40,
            why: 'the selection of topK with twice as much to read; the peers write the sum and sort all of it',
          },
        }),
    peers: [
      {
        work: (): Work => ({ kind: 'gumbelTopK', n, k, logits: logits(), noise: noise() }),
        check: (r, want) => {
          const [l, g] = [logits(), noise()];
          return checkSelection(r, want.scores!.data, (i) => Math.fround(l[i]! + g[i]!));
        },
      },
    ],
    naive: (gpu, inputs) => {
      const { values, indices } = naiveSelection(gpu, inputs.logits!, k, [k], inputs.noise!);
      return { scores: values, indices };
    },
  };
  if (tier === 'cpu') return [given];
  return [
    given,
    {
      op: 'gumbelTopK',
      label: 'from a key',
      shape: `[${n}] k ${k}`,
      inputs: () => ({ logits: tensor([n], logits()) }),
      options: { k, key: key(22) },
      bytes: n * 4 + k * 12,
      target: 5,
      prediction: { ratio: 20, why: 'one Threefry block per word is added, the exact noise for few of them' },
      peers: [
        {
          work: (): Work => ({ kind: 'gumbelTopK', n, k, logits: logits() }),
          standIn: 'its own generator, f32 logarithms',
          check: (r) => looksSelected(r, n, k),
        },
      ],
    },
    {
      op: 'gumbelTopKBackward',
      label: 'at the selected',
      shape: `[${n}] k ${k}`,
      inputs: () => {
        const l = tensor([n], logits());
        const { indices: positions } = gumbelTopK(l, k, { key: key(22) });
        return { logits: l, positions, dKHot: tensor([k], uniform(k, 23)) };
      },
      options: { k, key: key(22) },
      // Read the logits, write and read the scores, write the gradient.
      bytes: n * 8 + k * 12,
    },
  ];
}

/** A selection by another generator can only be tested for its form: k different positions, scores in order. */
function looksSelected([scores, indices]: Result, n: number, k: number): Verdict {
  if (scores === undefined || indices === undefined) return failure('scores or indices are missing');
  if (new Set(indices).size !== k) return failure(`${new Set(indices).size} positions, wanted ${k}`);
  for (let i = 0; i < k; i++) {
    if (!(indices[i]! >= 0 && indices[i]! < n)) return failure(`index ${i} is ${indices[i]}`);
    if (i > 0 && !(scores[i]! <= scores[i - 1]!)) return failure(`score ${i} is out of order`);
  }
  return pass();
}
