import { Tape } from '../../core/autograd.ts';
import { ArgumentError, OpError } from '../../core/errors.ts';
import { foldIn, type Key } from '../../core/key.ts';
import { type AnyTensor, show, type Tensor, tensor } from '../../core/tensor.ts';
import { type SamOut, samOutLoss } from './model.ts';
import { listParameters, mapParameters } from './parameters.ts';

/** How parameters move. The defaults are the seed's: Adam with PyTorch's defaults. */
export interface TrainerOptions {
  /** @defaultValue 0.001 */
  readonly lr?: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  /** @defaultValue 0 */
  readonly weightDecay?: number;
  /** AdamW instead of Adam. @defaultValue false */
  readonly decoupled?: boolean;
  /** Clip the common norm of the gradients. Absent: no clipping */
  readonly maxNorm?: number;
  /** Train the embedding and the head alone; the layers stay as they are. @defaultValue false */
  readonly tablesOnly?: boolean;
  /** Targets of this id do not count. */
  readonly ignoreIndex?: number;
  /** Needed by a model with dropout. Step i drops by foldIn(key, i), so a resumed run drops what an unbroken one would. */
  readonly key?: Key;
}

/** What an optimizer remembers, on the host: per parameter that is trained, in the order of `listParameters`. */
export interface TrainerState {
  readonly step: number;
  readonly m: readonly Tensor[];
  readonly v: readonly Tensor[];
}

/** The loss was NaN or infinite; the parameters are those before the step. */
export class DivergedError extends OpError {
  override readonly name: string = 'DivergedError';
}

/**
 * Trains a model in place, one batch per call: forward and backward on a tape, clipping, one Adam step. On the GPU all of
 * it is enqueued; the loss is the one number that is waited for. In steady state no buffer is created.
 */
export class SamOutTrainer<T extends AnyTensor> implements Disposable {
  readonly model: SamOut<T>;
  readonly options: TrainerOptions;
  /** Steps that were made. */
  step = 0;
  #m: T[];
  #v: T[];

  constructor(model: SamOut<T>, options: TrainerOptions = {}, state?: TrainerState) {
    if (model.config.dropout > 0 && options.key === undefined)
      throw new ArgumentError('train', `the model has dropout ${model.config.dropout}, which needs a key`);
    this.model = model;
    this.options = options;
    const { backend } = model;
    const parameters: T[] = [];
    mapParameters(model.parameters, (t, path) => this.#trains(path) && parameters.push(t));
    const bring = (kept: readonly Tensor[] | undefined): T[] =>
      parameters.map((p, i) =>
        kept === undefined ? backend.zeros('f32', p.shape) : backend.upload(kept[i]!),
      );
    this.#m = bring(state?.m);
    this.#v = bring(state?.v);
    this.step = state?.step ?? 0;
  }

  /**
   * One step on a batch of token rows: position t predicts position t + 1.
   * @param tokens i32 [B, S + 1]
   * @returns the mean loss in nats, before the step, and how many targets counted
   * @throws DivergedError when the loss is not finite: nothing was changed
   */
  async train(tokens: Tensor): Promise<{ loss: number; count: number }> {
    const { model } = this;
    const { backend, config } = model;
    const [inputs, targets] = shifted(tokens);
    model.checkIds(inputs);
    using ids = backend.upload(inputs);
    using wanted = backend.upload(targets);
    using tape = new Tape(backend);
    const taped = mapParameters(model.parameters, (t, path) =>
      this.#trains(path) ? tape.parameter(t) : tape.constant(t),
    );
    const { ignoreIndex, key } = this.options;
    const { loss, count, state } = samOutLoss(
      tape.ops,
      config,
      taped,
      tape.constant(ids),
      tape.constant(wanted),
      {
        ...(ignoreIndex === undefined ? {} : { ignoreIndex }),
        ...(key === undefined ? {} : { dropoutKey: foldIn(key, this.step) }),
      },
    );
    state[Symbol.dispose]();
    const gradients = tape.backward(
      loss,
      listParameters(taped).filter((v) => v.differentiable),
    );
    const [value, counted] = await Promise.all([backend.read(loss.value), backend.read(count.value)]);
    if (!Number.isFinite(value.data[0])) {
      for (const g of gradients) g[Symbol.dispose]();
      throw new DivergedError(
        'train',
        `the loss of step ${this.step + 1} is ${value.data[0]}; nothing was changed: go back to the last checkpoint, or lower the learning rate`,
      );
    }
    this.#apply(gradients);
    return { loss: value.data[0]!, count: counted.data[0]! };
  }

  /** The mean loss of a batch, without learning from it and without dropout. A model that has diverged gives NaN. */
  async loss(tokens: Tensor): Promise<number> {
    const { model } = this;
    const { backend, config } = model;
    const [inputs, targets] = shifted(tokens);
    model.checkIds(inputs);
    using ids = backend.upload(inputs);
    using wanted = backend.upload(targets);
    const { ignoreIndex } = this.options;
    const made = samOutLoss(
      backend.ops,
      config,
      model.parameters,
      ids,
      wanted,
      ignoreIndex === undefined ? {} : { ignoreIndex },
    );
    made.state[Symbol.dispose]();
    using loss = made.loss;
    made.count[Symbol.dispose]();
    return (await backend.read(loss)).data[0]!;
  }

  /** What a checkpoint keeps of the optimizer. */
  async state(): Promise<TrainerState> {
    const { backend } = this.model;
    const read = (list: readonly T[]): Promise<Tensor[]> => Promise.all(list.map((t) => backend.read(t)));
    const [m, v] = await Promise.all([read(this.#m), read(this.#v)]);
    return { step: this.step, m, v };
  }

  /** Dispose what the optimizer remembers; the model stays. */
  [Symbol.dispose](): void {
    for (const t of [...this.#m, ...this.#v]) t[Symbol.dispose]();
    this.#m = [];
    this.#v = [];
  }

  #trains(path: string): boolean {
    return !(this.options.tablesOnly ?? false) || !path.startsWith('layers.');
  }

  #apply(gradients: readonly T[]): void {
    const { backend, parameters } = this.model;
    const { lr = 0.001, beta1, beta2, eps, weightDecay = 0, decoupled = false, maxNorm } = this.options;
    const clip = maxNorm === undefined ? undefined : backend.ops.gradientClipFactor(gradients, maxNorm);
    const options = {
      lr,
      weightDecay,
      decoupled,
      ...(beta1 === undefined ? {} : { beta1 }),
      ...(beta2 === undefined ? {} : { beta2 }),
      ...(eps === undefined ? {} : { eps }),
      ...(clip === undefined ? {} : { factor: clip.factor }),
    };
    this.step++;
    let i = 0;
    this.model.parameters = mapParameters(parameters, (param, path) => {
      if (!this.#trains(path)) return param;
      const [m, v, gradient] = [this.#m[i]!, this.#v[i]!, gradients[i]!];
      const next = backend.ops.adamW(param, gradient, m, v, this.step, options);
      for (const t of [param, gradient, m, v]) t[Symbol.dispose]();
      this.#m[i] = next.m;
      this.#v[i] = next.v;
      i++;
      return next.param;
    });
    clip?.[Symbol.dispose]();
  }
}

/** Rows [B, S + 1] as inputs (all but the last) and targets (all but the first). */
function shifted(tokens: Tensor): [Tensor, Tensor] {
  const [rows = 0, length = 0] = tokens.shape;
  if (tokens.dtype !== 'i32' || tokens.shape.length !== 2 || rows === 0 || length < 2) {
    throw new ArgumentError(
      'train',
      `tokens have shape ${show(tokens.shape)} and dtype ${tokens.dtype}; they must be i32 [batch >= 1, length >= 2]: each position predicts the next`,
    );
  }
  const cut = (from: number): Tensor => {
    const out = new Int32Array(rows * (length - 1));
    for (let r = 0; r < rows; r++) {
      out.set(
        (tokens.data as Int32Array).subarray(r * length + from, r * length + from + length - 1),
        r * (length - 1),
      );
    }
    return tensor([rows, length - 1], out);
  };
  return [cut(0), cut(1)];
}
