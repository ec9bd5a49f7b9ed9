import { type Tensor, tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

const words = 8460;
const width = 512;
const options = { ignoreIndex: 3 };

/** The seed's head and loss, fused and from given logits. The peers have no fused form, and no mean that ignores a word. */
export function benchmarks(tier: Tier): Benchmark[] {
  const tokens = { full: 1568, small: 64, cpu: 16 }[tier];
  const part = Math.min(tokens, 16);
  const inputs = (): Record<string, Tensor> => ({
    x: tensor([tokens, width], uniform(tokens * width, 1)),
    w: tensor([words, width], uniform(words * width, 2, 0.08)),
    targets: goals(tokens),
  });
  const backward = (): Record<string, Tensor> => {
    const all = inputs();
    // The log-sum-exp of random logits this small is close to log V plus half their variance; any number will do here.
    const lse = tensor([tokens], new Float32Array(tokens).fill(9.2));
    return { ...all, lse, count: tensor([], [tokens], 'i32'), dLoss: tensor([], [1]) };
  };
  return [
    {
      op: 'crossEntropy',
      label: 'with the linear layer',
      shape: `[${tokens}, ${width}] x [${words}, ${width}]`,
      inputs,
      options,
      flops: 2 * tokens * words * width,
      sample: {
        inputs: ({ x, w, targets }) => ({
          x: tensor([part, width], x!.data.subarray(0, part * width)),
          w: w!,
          targets: tensor([part], targets!.data.subarray(0, part)),
        }),
        outputs: ({ lse }) => ({ lse: tensor([part], lse!.data.slice(0, part)) }),
      },
    },
    {
      op: 'crossEntropyBackward',
      label: 'with the linear layer',
      shape: `[${tokens}, ${width}] x [${words}, ${width}]`,
      inputs: backward,
      options,
      flops: 6 * tokens * words * width,
      sample: {
        inputs: ({ x, w, targets, lse, count, dLoss }) => ({
          x: tensor([part, width], x!.data.subarray(0, part * width)),
          w: w!,
          targets: tensor([part], targets!.data.subarray(0, part)),
          lse: tensor([part], lse!.data.subarray(0, part)),
          count: count!,
          dLoss: dLoss!,
        }),
        outputs: ({ dx }) => ({ dx: tensor([part, width], dx!.data.slice(0, part * width)) }),
      },
    },
    {
      op: 'crossEntropyLogits',
      shape: `[${tokens}, ${words}]`,
      inputs: () => ({
        logits: tensor([tokens, words], uniform(tokens * words, 3, 6)),
        targets: goals(tokens),
      }),
      options,
      bytes: tokens * words * 4,
      naive(gpu, { logits, targets }) {
        const file = `${naiveFolder}/crossEntropy.wgsl`;
        const params = [tokens, words, options.ignoreIndex];
        const lse = gpu.empty('f32', [tokens]);
        const losses = gpu.empty('f32', [tokens]);
        const made = { lse, loss: gpu.empty('f32', []), count: gpu.empty('i32', []) };
        const groups = [Math.ceil(tokens / 64)] as const;
        gpu.dispatch({
          file,
          entry: 'rows',
          params,
          reads: [logits!, targets!],
          writes: [lse, losses],
          groups,
        });
        const writes = [made.loss, made.count];
        gpu.dispatch({ file, entry: 'mean', params, reads: [losses, targets!], writes, groups: [1] });
        losses[Symbol.dispose]();
        return made;
      },
    },
  ];
}

function goals(tokens: number): Tensor {
  return tensor(
    [tokens],
    Int32Array.from({ length: tokens }, (_, i) => (i % 11 === 0 ? 3 : (i * 997) % words)),
  );
}
