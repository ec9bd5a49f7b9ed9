/**
 * The loss of a head and its gradients, three ways on the same data: over all words with the logits in memory, over all words in
 * chunks, and over a sub-vocabulary. Time, and bytes that each one allocates beside its inputs, against what was predicted.
 *
 *     node bench/subVocabLoss.ts [--adapter NAME | --cpu] [--out FOLDER]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Ops } from '../src/core/ops/index.ts';
import { type AnyTensor, type Tensor, tensor } from '../src/core/tensor.ts';
import { type GpuTensor, openGpu } from '../src/gpu/index.ts';
import { refBackend } from '../src/ref/backend.ts';
import { median } from './support/stats.ts';
import { uniform } from './support/work.ts';

const { values: options } = parseArgs({
  options: { adapter: { type: 'string' }, cpu: { type: 'boolean' }, out: { type: 'string' } },
});

const [words, width, k] = [50_000, 64, 8192];
const tokens = options.cpu ? 32 : 512;
const rounds = 5;
/** Words per chunk by default: what fits 16 MiB. */
const chunk = (of: number): number =>
  Math.min(Math.floor(2 ** 22 / tokens / 64) * 64, Math.ceil(of / 64) * 64);
const gradients = 4 * (words * width + tokens * width);

interface Inputs<T> {
  readonly x: T;
  readonly table: T;
  readonly targets: T;
  readonly sample: T;
  readonly logInclusion: T;
  readonly dLoss: T;
}

interface Made<T> {
  readonly loss: T;
  readonly dx: T;
  readonly all: readonly T[];
}

interface Way {
  readonly name: string;
  /** Bytes beside the inputs, as predicted: see docs/sampledCrossEntropy.md. */
  readonly predicted: number;
  run<T extends AnyTensor>(ops: Ops<T>, inputs: Inputs<T>): Made<T>;
}

const ways: readonly Way[] = [
  {
    name: 'all words, logits in memory',
    // Logits and their gradient.
    predicted: 8 * tokens * words + gradients,
    run(ops, { x, table, targets, dLoss }) {
      const logits = ops.matmul(x, table, { transposeB: true });
      const { loss, count, lse } = ops.crossEntropyLogits(logits, targets);
      const dLogits = ops.crossEntropyLogitsBackward(dLoss, logits, targets, lse, count);
      const dx = ops.matmul(dLogits, table);
      const dTable = ops.matmul(dLogits, x, { transposeA: true });
      return { loss, dx, all: [logits, loss, count, lse, dLogits, dx, dTable] };
    },
  },
  {
    name: 'all words, in chunks',
    // The logits of one chunk, made again for the gradient.
    predicted: 4 * tokens * chunk(words) + gradients,
    run(ops, { x, table, targets, dLoss }) {
      const { loss, count, lse } = ops.crossEntropy(x, table, targets);
      const { dx, dw } = ops.crossEntropyBackward(dLoss, x, table, targets, lse, count);
      return { loss, dx, all: [loss, count, lse, dx, dw] };
    },
  },
  {
    name: `${k} sampled words`,
    // The same for the words of the sample, and their rows; the gradient of the table is as large as the table.
    predicted: 4 * (tokens * chunk(k) + chunk(k) * width) + gradients,
    run(ops, { x, table, targets, sample, logInclusion, dLoss }) {
      const given = { logInclusion };
      const { loss, count, lse } = ops.sampledCrossEntropy(x, table, sample, targets, given);
      const back = ops.sampledCrossEntropyBackward(dLoss, x, table, sample, targets, lse, count, given);
      return { loss, dx: back.dx, all: [loss, count, lse, back.dx, back.dTable] };
    },
  },
];

const host: Inputs<Tensor> = {
  x: tensor([tokens, width], uniform(tokens * width, 1)),
  table: tensor([words, width], uniform(words * width, 2, 0.5)),
  targets: tensor(
    [tokens],
    Int32Array.from({ length: tokens }, (_, i) => (i * 7919) % words),
  ),
  sample: tensor(
    [k],
    // Steps of a number without common factors: no word twice.
    Int32Array.from({ length: k }, (_, i) => (i * 30_011) % words),
  ),
  logInclusion: tensor([k], new Float32Array(k).fill(Math.log(k / words))),
  dLoss: tensor([], [1]),
};

/** One row of the results. */
interface Row {
  readonly way: string;
  readonly ms: number;
  readonly all: readonly number[];
  readonly predictedBytes: number;
  readonly countedBytes: number | null;
  readonly loss: number;
}

const ready = await Promise.all(ways.map((way) => (options.cpu ? onCpu(way) : onGpu(way))));
const times: number[][] = ways.map(() => []);
// In turns, so that a disturbance meets all of them.
for (let round = 0; round < rounds; round++) {
  for (const [i, { run }] of ready.entries()) {
    const before = performance.now();
    await run();
    times[i]!.push(performance.now() - before);
  }
}
const rows: Row[] = ways.map(({ name, predicted }, i) => ({
  way: name,
  ms: median(times[i]!),
  all: times[i]!,
  predictedBytes: predicted,
  countedBytes: ready[i]!.counted,
  loss: ready[i]!.loss,
}));
const [full, inChunks] = ready;
const apart = Math.max(...full!.dx.map((v, i) => Math.abs(v - inChunks!.dx[i]!)));
const largest = Math.max(...full!.dx.map(Math.abs));
if (!(Math.abs(full!.loss - inChunks!.loss) < 1e-4 && apart < 1e-4 * largest))
  throw new Error(
    `the two losses over all words differ: ${full!.loss}, ${inChunks!.loss}, gradients by ${apart}`,
  );

const device = options.cpu ? 'references on the CPU' : ready[0]!.device;
const shape = `${tokens} tokens of ${width}, ${words} words, sample ${k}`;
const mb = (bytes: number | null): string => (bytes === null ? '' : (bytes / 1e6).toFixed(1));
const table = [
  '| loss and gradients | ms | times as fast | MB predicted | MB counted |',
  '| --- | --- | --- | --- | --- |',
  ...rows.map((r) => {
    const ratio = (rows[0]!.ms / r.ms).toFixed(2);
    const bytes = options.cpu ? ['', ''] : [mb(r.predictedBytes), mb(r.countedBytes)];
    return `| ${r.way} | ${r.ms.toFixed(1)} | ${ratio} | ${bytes.join(' | ')} |`;
  }),
].join('\n');
process.stdout.write(`${device}: ${shape}\n\n${table}\n`);
if (options.out !== undefined) {
  const date = new Date().toISOString();
  const who = options.cpu ? 'cpu' : device.toLowerCase().replace(/[^a-z0-9].*/, '');
  const path = `${options.out}/${who}-subVocabLoss-${date.slice(0, 10)}`;
  const command = `node bench/subVocabLoss.ts ${options.cpu ? '--cpu' : `--adapter ${who}`}`;
  mkdirSync(options.out, { recursive: true });
  writeFileSync(`${path}.json`, `${JSON.stringify({ command, date, device, shape, rows }, null, 1)}\n`);
  writeFileSync(
    `${path}.md`,
    `# ${device}, ${date.slice(0, 10)}\n\n    ${command}\n\n${shape}\n\n${table}\n`,
  );
}
process.exit();

interface Ready {
  readonly device: string;
  readonly counted: number | null;
  readonly loss: number;
  readonly dx: Float32Array;
  run(): Promise<void>;
}

async function onCpu(way: Way): Promise<Ready> {
  const { loss, dx } = way.run(refBackend.ops, host);
  return {
    device: 'cpu',
    counted: null,
    loss: loss.data[0]!,
    dx: dx.data as Float32Array,
    run: async () => {
      way.run(refBackend.ops, host);
    },
  };
}

/** Each way has a device of its own: what its pool of buffers ever held is what the way needs. */
async function onGpu(way: Way): Promise<Ready> {
  const gpu = await openGpu(options.adapter === undefined ? {} : { adapter: options.adapter });
  const there = Object.fromEntries(
    Object.entries(host).map(([name, t]) => [name, gpu.upload(t as Tensor)]),
  ) as unknown as Inputs<GpuTensor>;
  const run = async (): Promise<Made<GpuTensor>> => {
    const made = way.run(gpu.ops, there);
    for (const t of made.all) if (t !== made.loss && t !== made.dx) t[Symbol.dispose]();
    await gpu.idle();
    return made;
  };
  await gpu.idle();
  const before = gpu.pool.peakBytes;
  const first = await run();
  const counted = gpu.pool.peakBytes - before;
  const [loss, dx] = await Promise.all([first.loss.read(), first.dx.read()]);
  const release = (made: Made<GpuTensor>): void => {
    made.loss[Symbol.dispose]();
    made.dx[Symbol.dispose]();
  };
  release(first);
  return {
    device: gpu.choice.chosen.name,
    counted,
    loss: loss.data[0]!,
    dx: dx.data as Float32Array,
    run: async () => release(await run()),
  };
}
