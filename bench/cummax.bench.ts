import { failure, pass, type Verdict } from '../src/core/bounds.ts';
import { tensor } from '../src/core/tensor.ts';
import { cummax } from '../src/ref/index.ts';
import { type Benchmark, naiveFolder, type PeerWork, type Tier } from './support/benchmark.ts';
import { uniform, type Work } from './support/work.ts';

/** The scan of the comparison, [outer, 2048, 64] along axis 1, and the seed's layer. */
export function benchmarks(tier: Tier): Benchmark[] {
  if (tier === 'cpu') return [scan([8, 1024, 64], { target: 1 })];
  const long: Sizes = [tier === 'full' ? 256 : 32, 2048, 64];
  return [
    scan(long, {
      target: 5,
      prediction: {
        ratio: 40,
        why: 'one pass over x instead of log2(2048) = 11 passes of two reads and a write, on a driver bound by loads',
      },
    }),
    scan([32, 49, 512], {
      target: 5,
      prediction: { ratio: 10, why: 'as above with 6 passes, and less work per dispatch' },
    }),
    backward(long),
  ];
}

type Sizes = readonly [outer: number, length: number, inner: number];

function scan([outer, length, inner]: Sizes, goal: Pick<Benchmark, 'target' | 'prediction'>): Benchmark {
  const size = outer * length * inner;
  const shape = [outer, length, inner];
  const x = (): Float32Array => uniform(size, 10);
  const work =
    (kind: 'cummax' | 'cumsum', rows = outer) =>
    (): Work => ({
      kind,
      outer: rows,
      length,
      inner,
      x: x().subarray(0, rows * length * inner),
    });
  // The probe: as many rows as 1/16 of the work has.
  const probe = (kind: 'cummax' | 'cumsum') => ({ work: work(kind, Math.max(1, outer / 16)), times: 16 });
  const peers: PeerWork[] = [
    {
      work: work('cummax'),
      probe: probe('cummax'),
      outputs: ([values]) => ({ values: tensor(shape, values as Float32Array) }),
    },
    {
      work: work('cumsum'),
      probe: probe('cumsum'),
      standIn: 'cumsum instead',
      check: ([sums]) => checkSums(sums as Float32Array, x(), [outer, length, inner]),
    },
  ];
  return {
    op: 'cummax',
    shape: `[${shape.join(', ')}] axis 1`,
    inputs: () => ({ x: tensor(shape, x()) }),
    options: { axis: 1 },
    bytes: size * 12,
    ...goal,
    peers,
    naive(gpu, inputs) {
      const values = gpu.empty('f32', shape);
      const indices = gpu.empty('i32', shape);
      const rows = outer * inner;
      gpu.dispatch({
        file: `${naiveFolder}/cummax.wgsl`,
        entry: 'cummax',
        params: [rows, inner, length],
        reads: [inputs.x!],
        writes: [values, indices],
        groups: [Math.ceil(rows / 64)],
      });
      return { values, indices };
    },
  };
}

function backward([outer, length, inner]: Sizes): Benchmark {
  const shape = [outer, length, inner];
  const size = outer * length * inner;
  return {
    op: 'cummaxBackward',
    shape: `[${shape.join(', ')}] axis 1`,
    inputs: () => ({
      dValues: tensor(shape, uniform(size, 11)),
      indices: cummax(tensor(shape, uniform(size, 10)), { axis: 1 }).indices,
    }),
    options: { axis: 1 },
    bytes: size * 12,
  };
}

/** The stand-in has a check of its own: f64 sums of some rows, within the error that a sum in any order may have. */
function checkSums(got: Float32Array, x: Float32Array, [outer, length, inner]: Sizes): Verdict {
  let worst = 0;
  for (let row = 0; row < outer * inner; row += Math.max(1, Math.floor((outer * inner) / 64))) {
    let sum = 0;
    let absolute = 0;
    for (let t = 0; t < length; t++) {
      const at = (Math.floor(row / inner) * length + t) * inner + (row % inner);
      sum += x[at]!;
      absolute += Math.abs(x[at]!);
      const error = Math.abs(got[at]! - sum) / ((t + 1) * 2 ** -23 * absolute);
      // Written so that NaN fails.
      if (!(error <= 1)) return failure(`sum ${t} of row ${row} is ${got[at]}, wanted ${sum}`);
      worst = Math.max(worst, error);
    }
  }
  return pass(worst);
}
