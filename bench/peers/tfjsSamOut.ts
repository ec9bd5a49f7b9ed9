import * as tf from '@tensorflow/tfjs';
import type { Result, Work } from '../support/work.ts';

type Model = Extract<Work, { kind: 'samOutTrain' | 'samOutStep' }>;

/** Names and shapes of a layer's parameters, in the order in which they come. */
const layerShapes = (d: number): [string, number[]][] => [
  ['combined', [3 * d, d]],
  ['alphas', [5]],
  ['w1', [d, d]],
  ['b1', [d]],
  ['wg', [d, d]],
  ['bg', [d]],
  ['w2', [d, d]],
  ['b2', [d]],
  ['gamma', [d]],
  ['beta', [d]],
  ['alpha', []],
];

/** SamOut with the operators of TensorFlow.js: training steps, or tokens one after another. */
export async function samOutSteps(
  work: Model,
  use: () => Promise<void>,
): Promise<{ run(): Promise<void>; read(): Promise<Result>; dispose(): Promise<void> }> {
  const { width: d, vocabulary, layers: count } = work;
  const arrays = await work.start();
  await use();
  const all: tf.Variable[] = [];
  let next = 0;
  const variable = (shape: number[]): tf.Variable => {
    const v = tf.variable(tf.tensor(arrays[next++]!, shape));
    all.push(v);
    return v;
  };
  const embedding = variable([vocabulary, d]);
  const layers = Array.from(
    { length: count },
    () =>
      Object.fromEntries(layerShapes(d).map(([name, shape]) => [name, variable(shape)])) as Record<
        string,
        tf.Variable
      >,
  );
  const head = variable([vocabulary, d]);

  const linear = (x: tf.Tensor, w: tf.Tensor): tf.Tensor2D =>
    tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D, false, true);
  /** x [rows, d]; maxima makes the running maximum of c. */
  const features = (ids: tf.Tensor1D, maxima: (c: tf.Tensor, layer: number) => tf.Tensor): tf.Tensor => {
    let x: tf.Tensor = tf.gather(embedding, ids);
    for (const [i, p] of layers.entries()) {
      const [a, b, c] = tf.split(linear(x, p.combined!), 3, 1) as [tf.Tensor, tf.Tensor, tf.Tensor];
      const [a1, a2, a3, a4, a5] = tf.split(p.alphas!, 5) as [
        tf.Tensor,
        tf.Tensor,
        tf.Tensor,
        tf.Tensor,
        tf.Tensor,
      ];
      const m = maxima(c, i);
      const factor = tf.addN([a, b, c, tf.mul(tf.onesLike(c), tf.add(a2, a5))]);
      const o = tf.addN([tf.mul(b, a1), tf.mul(a, a3), tf.mul(c, a4), tf.mul(factor, m)]);
      const gate = tf.relu(tf.add(linear(o, p.wg!), p.bg!));
      const f = tf.add(linear(tf.mul(tf.add(linear(o, p.w1!), p.b1!), gate), p.w2!), p.b2!);
      const z = tf.add(tf.mul(f, p.alpha!), tf.mul(x, tf.sub(1, p.alpha!)));
      const { mean, variance } = tf.moments(z, 1, true);
      const n = tf.mul(tf.sub(z, mean), tf.rsqrt(tf.add(variance, 1e-5)));
      x = tf.add(tf.add(tf.mul(n, p.gamma!), p.beta!), x);
    }
    return x;
  };

  if (work.kind === 'samOutTrain') {
    const { batch, length, tokens } = work;
    const part = (from: number): Int32Array =>
      Int32Array.from(
        { length: batch * length },
        (_, i) => tokens[Math.floor(i / length) * (length + 1) + (i % length) + from]!,
      );
    const ids = tf.tensor1d(part(0), 'int32');
    const targets = tf.tensor1d(part(1), 'int32');
    const optimizer = tf.train.adam(0.001, 0.9, 0.999, 1e-8);
    let first: Float32Array | undefined;
    const running = (c: tf.Tensor): tf.Tensor => {
      let y = c.reshape([batch, length, d]) as tf.Tensor3D;
      for (let step = 1; step < length; step *= 2) {
        const rest = length - step;
        const late = tf.slice3d(y, [0, step, 0], [batch, rest, d]);
        const early = tf.slice3d(y, [0, 0, 0], [batch, rest, d]);
        y = tf.concat3d([tf.slice3d(y, [0, 0, 0], [batch, step, d]), tf.maximum(late, early)], 1);
      }
      return y.reshape([batch * length, d]);
    };
    const loss = (): tf.Scalar => {
      const logits = linear(features(ids, running), head);
      return tf.losses.softmaxCrossEntropy(tf.oneHot(targets, vocabulary), logits) as tf.Scalar;
    };
    return {
      async run() {
        const value = optimizer.minimize(loss, true)!;
        const data = (await value.data()) as Float32Array;
        value.dispose();
        first ??= data.slice();
        // The loss is there before the parameters are; the last of these says that they are too.
        await tf.tidy(() => head.slice([0, 0], [1, 1])).data();
      },
      read: async () => [first!],
      async dispose() {
        await use();
        tf.dispose([ids, targets, ...all]);
        optimizer.dispose();
      },
    };
  }

  const { prompt, count: wanted } = work;
  /** One token: the most probable next one, and the state after it. */
  const step = async (
    id: number,
    state: readonly tf.Tensor[],
  ): Promise<{ id: number; state: tf.Tensor[] }> => {
    const made: tf.Tensor[] = [];
    const best = tf.tidy(() => {
      const x = features(tf.tensor1d([id], 'int32'), (c, i) => {
        const m = state[i] === undefined ? c.clone() : tf.maximum(c, state[i]!);
        made[i] = tf.keep(m);
        return m;
      });
      return tf.argMax(linear(x, head), 1);
    });
    const found = (await best.data())[0]!;
    best.dispose();
    return { id: found, state: made };
  };
  let before: tf.Tensor[] = [];
  for (const id of prompt.subarray(0, -1)) {
    const made = await step(id, before);
    tf.dispose(before);
    before = made.state;
  }
  let ids = new Int32Array(wanted);
  return {
    async run() {
      ids = new Int32Array(wanted);
      let state: readonly tf.Tensor[] = before;
      let id = prompt.at(-1)!;
      for (let i = 0; i < wanted; i++) {
        const made = await step(id, state);
        if (state !== before) tf.dispose([...state]);
        state = made.state;
        id = made.id;
        ids[i] = id;
      }
      if (state !== before) tf.dispose([...state]);
    },
    read: async () => [ids],
    async dispose() {
      await use();
      tf.dispose([...before, ...all]);
    },
  };
}
