import type { Backend } from '../../core/backend.ts';
import { ArgumentError, ShapeError } from '../../core/errors.ts';
import { foldIn, type Key } from '../../core/key.ts';
import type { Ops } from '../../core/ops/index.ts';
import { type AnyTensor, show, type Tensor, tensor } from '../../core/tensor.ts';
import type { SamOutConfig } from './config.ts';
import { listParameters, mapParameters, type SamOutParameters } from './parameters.ts';

/** What is remembered of a sequence: one running maximum [B, d] per layer. Its size does not depend on the length. */
export interface SamOutState<T extends AnyTensor> extends Disposable {
  readonly layers: readonly T[];
}

export interface ForwardOptions<T> {
  /** The state after what came before. Absent: nothing came. */
  readonly state?: SamOutState<T & AnyTensor>;
  /** u32 [B, T], 0 = padding: it joins no maximum, so padding on the left changes nothing for what follows. */
  readonly mask?: T;
  /** u32 [B, T], nonzero = a document begins here: everything before it is forgotten. */
  readonly reset?: T;
  /** Training with dropout: the key of this step. Absent: nothing is dropped. */
  readonly dropoutKey?: Key;
  /** Skip-Tuning: what each layer's residual input is scaled by, from `skipSchedule` reversed. Absent: 1, which changes no bit */
  readonly residualScales?: readonly number[];
}

/**
 * The decoder up to its last features, written once for both twins and for both uses: with plain tensors for inference,
 * with tape variables for training.
 *
 * Per layer: [a|b|c] = x W^T; o = maxState(a, b, c); f = gatedFfn(o); n = layerNorm((1 - alpha) x + alpha f); x <- x + n.
 * Options of the configuration act on m (cap) and on n (mixHeads, then dropout).
 *
 * @param ids i32 [B, T]
 * @returns features [B, T, d], and the state after the last position; both are the caller's
 */
export function samOutFeatures<T extends AnyTensor>(
  ops: Ops<T>,
  config: SamOutConfig,
  p: SamOutParameters<T>,
  ids: T,
  options: ForwardOptions<T> = {},
): { features: T; state: SamOutState<T> } {
  using x = ops.embedding(p.embedding, ids, { paddingIndex: config.paddingIndex });
  return samOutLayers(ops, config, p, x, options);
}

/**
 * The layers alone, for inputs that are embedded already: from a table of a sub-vocabulary, for instance.
 * @param inputs [B, T, d]; they stay the caller's
 * @returns features [B, T, d], and the state after the last position; both are the caller's
 */
export function samOutLayers<T extends AnyTensor>(
  ops: Ops<T>,
  config: SamOutConfig,
  p: SamOutParameters<T>,
  inputs: T,
  options: ForwardOptions<T> = {},
): { features: T; state: SamOutState<T> } {
  const { mask, reset, state, dropoutKey, residualScales } = options;
  const carries: T[] = [];
  let x = inputs;
  for (const [i, layer] of p.layers.entries()) {
    using abc = ops.matmul(x, layer.combined, { transposeB: true });
    const before = state?.layers[i];
    const attended = ops.maxState(abc, layer.alphas, {
      ...(before === undefined ? {} : { carryIn: before }),
      ...(mask === undefined ? {} : { mask }),
      ...(reset === undefined ? {} : { reset }),
      ...(config.cap === null ? {} : { cap: config.cap }),
    });
    using o = attended.y;
    attended.states[Symbol.dispose]();
    carries.push(attended.carryOut);
    const { w1, b1, wg, bg, w2, b2 } = layer;
    using f = ops.gatedFfn(o, { w1, b1, wg, bg, w2, b2 }, { activation: 'relu' });
    using blend = ops.lerp(x, f, layer.alpha);
    using normed = ops.layerNorm(blend, layer.gamma, layer.beta, { eps: config.layerNormEps });
    using mixed = layer.mix === undefined ? undefined : ops.mixHeads(normed.y, layer.mix);
    const n = mixed ?? normed.y;
    using thinned =
      config.dropout > 0 && dropoutKey !== undefined
        ? ops.dropout(n, config.dropout, foldIn(dropoutKey, i))
        : undefined;
    const rho = residualScales?.[i] ?? 1;
    const next = rho === 1 ? ops.add(thinned ?? n, x) : ops.skipTuning(thinned ?? n, x, rho, { mode: 'add' });
    if (x !== inputs) x[Symbol.dispose]();
    x = next;
  }
  return { features: x, state: stateOf(carries) };
}

/** The output head: the table of its own, or the embedding when tied. */
export function headOf<T>(p: SamOutParameters<T>): T {
  return p.head ?? p.embedding;
}

/**
 * Mean cross entropy of the next token over the targets that are not ignored.
 * @param ids i32 [B, T]; @param targets i32 [B, T]
 * @returns the scalar loss, the number of targets that counted, and the state after the last position
 */
export function samOutLoss<T extends AnyTensor>(
  ops: Ops<T>,
  config: SamOutConfig,
  p: SamOutParameters<T>,
  ids: T,
  targets: T,
  options: ForwardOptions<T> & { readonly ignoreIndex?: number } = {},
): { loss: T; count: T; state: SamOutState<T> } {
  const { features, state } = samOutFeatures(ops, config, p, ids, options);
  using hidden = features;
  const { ignoreIndex } = options;
  const result = ops.crossEntropy(
    hidden,
    headOf(p),
    targets,
    ignoreIndex === undefined ? {} : { ignoreIndex },
  );
  result.lse[Symbol.dispose]();
  return { loss: result.loss, count: result.count, state };
}

function stateOf<T extends AnyTensor>(layers: readonly T[]): SamOutState<T> {
  return {
    layers,
    [Symbol.dispose]() {
      for (const t of layers) t[Symbol.dispose]();
    },
  };
}

/** A SamOut model on one backend: owns its parameters. */
export class SamOut<T extends AnyTensor> implements Disposable {
  readonly backend: Backend<T>;
  readonly config: SamOutConfig;
  /** Replaced by training, tensor by tensor. */
  parameters: SamOutParameters<T>;

  /** Bring host parameters to a backend. */
  constructor(backend: Backend<T>, config: SamOutConfig, parameters: SamOutParameters<Tensor>) {
    this.backend = backend;
    this.config = config;
    this.parameters = mapParameters(parameters, (t) => backend.upload(t));
  }

  /** Check ids on the host before they are uploaded. @throws ArgumentError naming the id and its place; ShapeError */
  checkIds(ids: Tensor): void {
    if (ids.dtype !== 'i32' || ids.shape.length !== 2) {
      throw new ShapeError(
        'samOut',
        `ids have shape ${show(ids.shape)} and dtype ${ids.dtype}; they must be i32 [batch, length]`,
      );
    }
    const bad = ids.data.findIndex((v) => v < 0 || v >= this.config.vocabulary);
    if (bad >= 0) {
      throw new ArgumentError(
        'samOut',
        `id ${ids.data[bad]} at element ${bad} is outside the vocabulary of ${this.config.vocabulary}`,
      );
    }
  }

  /**
   * Feed more tokens. Token by token, chunk by chunk or all at once gives the same logits.
   * @param ids i32 [B, T] on the host
   * @param state of the same batch; absent at the start. It stays valid, so it serves as a snapshot to go back to
   * @returns logits [B, T, vocabulary] and the state after them
   */
  forward(
    ids: Tensor,
    state?: SamOutState<T>,
    { mask, reset }: { mask?: Tensor; reset?: Tensor } = {},
  ): { logits: T; state: SamOutState<T> } {
    this.checkIds(ids);
    const { backend, config, parameters } = this;
    using input = backend.upload(ids);
    using m = mask === undefined ? undefined : backend.upload(mask);
    using r = reset === undefined ? undefined : backend.upload(reset);
    const options = {
      ...(state === undefined ? {} : { state }),
      ...(m === undefined ? {} : { mask: m }),
      ...(r === undefined ? {} : { reset: r }),
    };
    const out = samOutFeatures(backend.ops, config, parameters, input, options);
    using features = out.features;
    const logits = backend.ops.matmul(features, headOf(parameters), { transposeB: true });
    return { logits, state: out.state };
  }

  /** Feed tokens without asking for logits. @returns the state after them */
  advance(ids: Tensor, state?: SamOutState<T>): SamOutState<T> {
    this.checkIds(ids);
    const { backend, config, parameters } = this;
    using input = backend.upload(ids);
    const out = samOutFeatures(backend.ops, config, parameters, input, state === undefined ? {} : { state });
    out.features[Symbol.dispose]();
    return out.state;
  }

  /**
   * Feed tokens and ask for the logits of what follows only: the head runs for one position, however long the prompt.
   * @returns logits [B, 1, vocabulary] and the state after them
   */
  last(ids: Tensor, state?: SamOutState<T>): { logits: T; state: SamOutState<T> } {
    this.checkIds(ids);
    const [rows = 0, length = 0] = ids.shape;
    if (length <= 1) return this.forward(ids, state);
    const part = (from: number, to: number): Tensor => {
      const out = new Int32Array(rows * (to - from));
      for (let r = 0; r < rows; r++) {
        out.set((ids.data as Int32Array).subarray(r * length + from, r * length + to), r * (to - from));
      }
      return tensor([rows, to - from], out);
    };
    using before = this.advance(part(0, length - 1), state);
    return this.forward(part(length - 1, length), before);
  }

  /** The parameters on the host. */
  async read(): Promise<SamOutParameters<Tensor>> {
    const list = await Promise.all(listParameters(this.parameters).map((t) => this.backend.read(t)));
    let i = 0;
    return mapParameters(this.parameters, () => list[i++]!);
  }

  [Symbol.dispose](): void {
    for (const t of listParameters(this.parameters)) t[Symbol.dispose]();
  }
}
