import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import '@tensorflow/tfjs-backend-webgpu';
import type { Peer, Prepared, Result, Work } from '../support/work.ts';
import { peerFolder, versionOf } from './environment.ts';
import { samOutSteps } from './tfjsSamOut.ts';

type Backend = 'webgpu' | 'wasm' | 'cpu';

/** TensorFlow.js on one of its backends. In Node its wasm backend has one thread. */
export function tfjs(backend: Backend): Peer {
  return {
    name: `tfjs ${backend}`,
    version: versionOf('@tensorflow/tfjs'),
    kind: backend,
    async prepare(work) {
      setWasmPaths(`${peerFolder}@tensorflow/tfjs-backend-wasm/dist/`);
      await use(backend);
      if (work.kind === 'samOutTrain' || work.kind === 'samOutStep') {
        const model = await samOutSteps(work, () => use(backend));
        return {
          note: 'written with its operators; the running maximum in log2(length) steps of slice, maximum, concat',
          async run() {
            await use(backend);
            await model.run();
          },
          read: model.read,
          dispose: model.dispose,
        };
      }
      const compute = program(work);
      if (compute === null) return null;
      let last: tf.Tensor[] = [];
      return {
        ...(work.kind === 'cummax'
          ? { note: 'log2(length) steps of slice, maximum, concat; no indices' }
          : {}),
        async run() {
          await use(backend);
          tf.dispose(last);
          last = tf.tidy(compute.once);
          if (backend === 'webgpu') {
            // Work is only recorded until the encoder is submitted: without this the wait would be for nothing.
            const gpu = tf.backend() as WebGPUBackend;
            gpu.ensureCommandEncoderReady();
            gpu.endComputePassEncoder();
            gpu.submitQueue();
            await gpu.queue.onSubmittedWorkDone();
          }
        },
        async read(): Promise<Result> {
          await use(backend);
          return (await Promise.all(last.map((t) => t.data()))).map((a) => a.slice() as Float32Array);
        },
        async dispose() {
          await use(backend);
          tf.dispose([...last, ...compute.inputs]);
          last = [];
        },
      } satisfies Prepared;
    },
  };
}

async function use(backend: Backend): Promise<void> {
  if (tf.getBackend() !== backend && !(await tf.setBackend(backend))) {
    throw new Error(`tfjs has no backend ${backend} here`);
  }
  await tf.ready();
}

/** The inputs as tensors of the current backend, and the work on them. */
function program(w: Work): { inputs: tf.Tensor[]; once: () => tf.Tensor[] } | null {
  switch (w.kind) {
    case 'matmul': {
      const a = tf.tensor2d(w.a, [w.m, w.k]);
      const b = tf.tensor2d(w.b, [w.k, w.n]);
      return { inputs: [a, b], once: () => [tf.matMul(a, b)] };
    }
    case 'gatedFfn': {
      const x = tf.tensor2d(w.x, [w.rows, w.width]);
      const w1 = tf.tensor2d(w.w1, [w.width, w.hidden]);
      const wg = tf.tensor2d(w.wg, [w.width, w.hidden]);
      const w2 = tf.tensor2d(w.w2, [w.hidden, w.width]);
      const b1 = tf.tensor1d(w.b1);
      const bg = tf.tensor1d(w.bg);
      const b2 = tf.tensor1d(w.b2);
      return {
        inputs: [x, w1, wg, w2, b1, bg, b2],
        once: () => {
          const up = tf.fused.matMul({ a: x, b: w1, transposeA: false, transposeB: false, bias: b1 });
          const gate = tf.fused.matMul({
            a: x,
            b: wg,
            transposeA: false,
            transposeB: false,
            bias: bg,
            activation: 'relu',
          });
          return [
            tf.fused.matMul({ a: tf.mul(up, gate), b: w2, transposeA: false, transposeB: false, bias: b2 }),
          ];
        },
      };
    }
    case 'cumsum': {
      const x = tf.tensor3d(w.x, [w.outer, w.length, w.inner]);
      return { inputs: [x], once: () => [tf.cumsum(x, 1)] };
    }
    case 'cummax': {
      const x = tf.tensor3d(w.x, [w.outer, w.length, w.inner]);
      return {
        inputs: [x],
        once: () => {
          let y: tf.Tensor3D = x;
          for (let step = 1; step < w.length; step *= 2) {
            const rest = w.length - step;
            const head = tf.slice3d(y, [0, 0, 0], [w.outer, step, w.inner]);
            const late = tf.slice3d(y, [0, step, 0], [w.outer, rest, w.inner]);
            const early = tf.slice3d(y, [0, 0, 0], [w.outer, rest, w.inner]);
            const next: tf.Tensor3D = tf.concat3d([head, tf.maximum(late, early)], 1);
            tf.dispose([head, late, early]);
            if (y !== x) tf.dispose(y);
            y = next;
          }
          return [y];
        },
      };
    }
    case 'topK': {
      const x = tf.tensor2d(w.x, [w.rows, w.n]);
      return { inputs: [x], once: () => both(tf.topk(x, w.k, true)) };
    }
    case 'gumbelTopK': {
      const logits = tf.tensor1d(w.logits);
      if (w.noise === undefined) {
        return { inputs: [logits], once: () => both(tf.topk(tf.add(logits, gumbel(w.n)), w.k, true)) };
      }
      const noise = tf.tensor1d(w.noise);
      return { inputs: [logits, noise], once: () => both(tf.topk(tf.add(logits, noise), w.k, true)) };
    }
    case 'flatSearch': {
      const q = tf.tensor2d(w.q, [w.queries, w.dim]);
      const base = tf.tensor2d(w.baseT, [w.dim, w.count]);
      return { inputs: [q, base], once: () => both(tf.topk(tf.matMul(q, base), w.k, true)) };
    }
    case 'nearest': {
      const x = tf.tensor2d(w.x, [w.n, w.dim]);
      const c = tf.tensor2d(w.cT, [w.dim, w.k]);
      const half = tf.tensor1d(w.half);
      return { inputs: [x, c, half], once: () => [tf.argMax(tf.sub(tf.matMul(x, c), half), 1)] };
    }
    case 'gumbelNoise':
      return { inputs: [], once: () => [gumbel(w.n)] };
    case 'randomBits':
    case 'samOutTrain':
    case 'samOutStep':
      return null;
  }
}

const gumbel = (n: number): tf.Tensor => tf.neg(tf.log(tf.neg(tf.log(tf.randomUniform([n], 1e-20, 1)))));

const both = ({ values, indices }: { values: tf.Tensor; indices: tf.Tensor }): tf.Tensor[] => [
  values,
  indices,
];
