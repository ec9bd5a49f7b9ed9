import * as jax from '@jax-js/jax';
import type { Peer, Prepared, Result, Work } from '../support/work.ts';
import { versionOf } from './environment.ts';

const { numpy: np } = jax;

/** jax-js, jitted. In Node its wasm backend has one thread. */
export function jaxJs(device: 'webgpu' | 'wasm'): Peer {
  return {
    name: `jax-js ${device}`,
    version: versionOf('@jax-js/jax'),
    kind: device,
    async prepare(work) {
      hideWorker();
      const ready = await jax.init(device);
      if (!ready.includes(device)) throw new Error(`jax-js has no device ${device} here`);
      jax.defaultDevice(device);
      const compute = program(work);
      if (compute === null) return null;
      let last: jax.Array[] = [];
      const drop = () => {
        for (const a of last) a.dispose();
        last = [];
      };
      return {
        ...(compute.note === undefined ? {} : { note: compute.note }),
        async run() {
          hideWorker();
          jax.defaultDevice(device);
          drop();
          last = compute.once();
          // Waiting consumes the array, as every jax-js call does: hand it a second reference.
          for (const a of last) await a.ref.blockUntilReady();
        },
        async read(): Promise<Result> {
          return Promise.all(last.map(async (a) => (await a.ref.data()).slice() as Float32Array));
        },
        dispose() {
          drop();
          for (const a of compute.inputs) a.dispose();
        },
      } satisfies Prepared;
    },
  };
}

/**
 * onnxruntime-web gives Node a global `Worker`. jax-js would take it for the browser's and share its memory with threads,
 * which its modules are not made for here.
 */
function hideWorker(): void {
  Reflect.deleteProperty(globalThis, 'Worker');
}

function array(data: Float32Array, shape: number[]): jax.Array {
  return np.array(data as Float32Array<ArrayBuffer>, { dtype: np.float32 }).reshape(shape);
}

function program(w: Work): { inputs: jax.Array[]; once: () => jax.Array[]; note?: string } | null {
  switch (w.kind) {
    case 'matmul': {
      const a = array(w.a, [w.m, w.k]);
      const b = array(w.b, [w.k, w.n]);
      const f = jax.jit((x: jax.Array, y: jax.Array) => np.matmul(x, y));
      return { inputs: [a, b], once: () => [f(a.ref, b.ref)] };
    }
    case 'gatedFfn': {
      const { rows, width, hidden } = w;
      const inputs = [
        array(w.x, [rows, width]),
        array(w.w1, [width, hidden]),
        array(w.b1, [hidden]),
        array(w.wg, [width, hidden]),
        array(w.bg, [hidden]),
        array(w.w2, [hidden, width]),
        array(w.b2, [width]),
      ] as const;
      const f = jax.jit(
        (
          x: jax.Array,
          w1: jax.Array,
          b1: jax.Array,
          wg: jax.Array,
          bg: jax.Array,
          w2: jax.Array,
          b2: jax.Array,
        ) => {
          const up = np.matmul(x.ref, w1).add(b1);
          const gate = jax.nn.relu(np.matmul(x, wg).add(bg));
          return np.matmul(up.mul(gate), w2).add(b2);
        },
      );
      const [x, w1, b1, wg, bg, w2, b2] = inputs;
      return { inputs: [...inputs], once: () => [f(x.ref, w1.ref, b1.ref, wg.ref, bg.ref, w2.ref, b2.ref)] };
    }
    case 'cumsum': {
      const x = array(w.x, [w.outer, w.length, w.inner]);
      return { inputs: [x], once: () => [np.cumsum(x.ref, 1)] };
    }
    case 'topK': {
      const x = array(w.x, [w.rows, w.n]);
      return { inputs: [x], once: () => jax.lax.topK(x.ref, w.k), note: 'a full sort' };
    }
    case 'gumbelTopK': {
      const logits = array(w.logits, [w.n]);
      if (w.noise === undefined) {
        const seed = jax.random.key(0);
        const once = () => jax.lax.topK(logits.ref.add(jax.random.gumbel(seed.ref, [w.n])), w.k);
        return { inputs: [logits, seed], once, note: 'a full sort' };
      }
      const noise = array(w.noise, [w.n]);
      return {
        inputs: [logits, noise],
        once: () => jax.lax.topK(logits.ref.add(noise.ref), w.k),
        note: 'a full sort',
      };
    }
    case 'flatSearch': {
      const q = array(w.q, [w.queries, w.dim]);
      const base = array(w.baseT, [w.dim, w.count]);
      return {
        inputs: [q, base],
        once: () => jax.lax.topK(np.matmul(q.ref, base.ref), w.k),
        note: 'a full sort',
      };
    }
    case 'nearest': {
      const inputs = [array(w.x, [w.n, w.dim]), array(w.cT, [w.dim, w.k]), array(w.half, [w.k])] as const;
      const f = jax.jit((x: jax.Array, c: jax.Array, half: jax.Array) =>
        np.argmax(np.matmul(x, c).sub(half), -1),
      );
      const [x, c, half] = inputs;
      return { inputs: [...inputs], once: () => [f(x.ref, c.ref, half.ref)] };
    }
    case 'randomBits': {
      const seed = jax.random.key(w.seed);
      return { inputs: [seed], once: () => [jax.random.bits(seed.ref, [w.n])] };
    }
    case 'gumbelNoise': {
      const seed = jax.random.key(w.seed);
      return { inputs: [seed], once: () => [jax.random.gumbel(seed.ref, [w.n])] };
    }
    case 'samOutTrain':
    case 'samOutStep':
    case 'cummax':
      return null;
  }
}
