import { Tape, type Var } from '../../core/autograd.ts';
import type { Backend } from '../../core/backend.ts';
import { OpError } from '../../core/errors.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { type SamOutConfig, samOutConfig } from '../samOut/config.ts';
import { samOutLoss } from '../samOut/model.ts';
import { mapParameters, type SamOutParameters } from '../samOut/parameters.ts';
import type { HypernetConfig } from './config.ts';
import {
  assembleTable,
  type FormGroup,
  featureStatistics,
  formGroups,
  freeze,
  type HypernetBatch,
  type HypernetFrozen,
  hypernetBatch,
  hypernetRows,
  mapBatch,
  mapFrozen,
  predictRows,
  type SourceTables,
} from './model.ts';
import { type HypernetParameters, listHypernet, mapHypernet } from './parameters.ts';

/** How the hypernetwork learns; the defaults are those of ZeTT, for runs of another length. */
export interface ZettSchedule {
  /** Steps of the warm-up, in which tokens of the source are to be predicted as they are. @defaultValue 10000 */
  readonly identitySteps: number;
  /** Steps in all. @defaultValue 200000 */
  readonly steps: number;
  /** Learning rate at the end of the warm-up's own warm-up. @defaultValue 3e-4 */
  readonly identityLr: number;
  /** Largest learning rate afterwards. @defaultValue 6e-5 */
  readonly lr: number;
  /** Weight of the drift loss. @defaultValue 0.5 */
  readonly driftWeight: number;
  /** @defaultValue 0.1 */
  readonly maxNorm: number;
  /** @defaultValue 0.01 */
  readonly weightDecay: number;
}

export const zettSchedule: ZettSchedule = {
  identitySteps: 10_000,
  steps: 200_000,
  identityLr: 3e-4,
  lr: 6e-5,
  driftWeight: 0.5,
  maxNorm: 0.1,
  weightDecay: 0.01,
};

/**
 * The learning rate of a step, counted from 0: a linear rise over the warm-up; then again one, as long as the warm-up was but at most
 * a tenth of what is left, and a cosine down to a tenth.
 */
export function learningRate(s: ZettSchedule, step: number): number {
  if (step < s.identitySteps) return (s.identityLr * (step + 1)) / s.identitySteps;
  const left = s.steps - s.identitySteps;
  const rise = Math.min(s.identitySteps, Math.floor(left / 10));
  const at = step - s.identitySteps;
  if (at < rise) return (s.lr * (at + 1)) / rise;
  const share = Math.min((at - rise) / Math.max(left - rise, 1), 1);
  return s.lr * (0.1 + 0.45 * (1 + Math.cos(Math.PI * share)));
}

/** A vocabulary to predict, and a batch of text cut by its tokenizer. */
export interface ZettTask {
  /** i32 [N, length]: the source pieces of each predicted token. */
  readonly forms: Tensor;
  /** i32 [V']: the predicted row of each id, or -1. */
  readonly rows: Tensor;
  /** i32 [V']: the source row of each special id, or -1. */
  readonly copies: Tensor;
  /** i32 [B, S + 1] in the new ids. */
  readonly tokens: Tensor;
  readonly paddingIndex: number;
}

export interface ZettMetric {
  readonly step: number;
  readonly phase: 'identity' | 'language';
  readonly loss: number;
  /** Of the language model alone, in nats per token; absent in the warm-up. */
  readonly crossEntropy?: number;
}

/** What a checkpoint keeps of the optimizer, on the host. */
export interface ZettState {
  readonly step: number;
  readonly m: readonly Tensor[];
  readonly v: readonly Tensor[];
}

/** A loss was NaN or infinite; the parameters are those before the step. */
export class ZettDivergedError extends OpError {
  override readonly name: string = 'ZettDivergedError';
}

/** The frozen model whose embeddings are predicted: its layers, its tables and its configuration. */
export interface ZettBody {
  readonly config: SamOutConfig;
  readonly parameters: SamOutParameters<Tensor>;
}

/** The tables of a SamOut model. */
export function tablesOf({ parameters }: ZettBody): SourceTables {
  const { embedding, head } = parameters;
  return { in: embedding, ...(head === undefined ? {} : { out: head }) };
}

/**
 * The frozen scaling of a new hypernetwork: what its heads give for anchors is moved to mean and spread of the source's rows.
 * @param forms of the anchor tokens
 */
export async function anchoredScaling<T extends AnyTensor>(
  backend: Backend<T>,
  c: HypernetConfig,
  parameters: HypernetParameters<Tensor>,
  source: SourceTables,
  forms: Tensor,
): Promise<HypernetFrozen<Tensor>> {
  // Plain heads first: scale 1, shift 0.
  const { table } = freeze(source);
  const one = new Float32Array(c.width * c.width);
  for (let d = 0; d < c.width; d++) one[d * c.width + d] = 1;
  const plain = {
    scale: tensor([c.width, c.width], one),
    shift: tensor([c.width], new Float32Array(c.width)),
  };
  const bare: HypernetFrozen<Tensor> = {
    table,
    inScale: plain.scale,
    inShift: plain.shift,
    ...(c.tied ? {} : { outScale: plain.scale, outShift: plain.shift }),
  };
  const p = mapHypernet(parameters, (t) => backend.upload(t));
  const f = mapFrozen(bare, (t) => backend.upload(t));
  const made = await predictRows(backend, c, p, f, forms);
  for (const t of [...listHypernet(p), ...Object.values(f)]) t[Symbol.dispose]();
  return freeze(source, [made.in, ...(made.out === undefined ? [] : [made.out])].map(featureStatistics));
}

/** i32 [V'] for each group: the row within the group of each id, or -1. */
function rowsByGroup(rows: Tensor, groups: readonly FormGroup[]): Tensor[] {
  return groups.map(({ tokens }) => {
    const within = new Map(Array.from(tokens, (n, i) => [n, i]));
    return tensor(
      rows.shape,
      Int32Array.from(rows.data, (row) => within.get(row) ?? -1),
    );
  });
}

/**
 * Trains a hypernetwork for one frozen SamOut model: a warm-up on the source's own tokens, then the language model's loss under
 * tokenizers that the caller samples, with the drift loss beside it. One step per call.
 */
export class ZettTrainer<T extends AnyTensor> implements Disposable {
  readonly backend: Backend<T>;
  readonly config: HypernetConfig;
  readonly schedule: ZettSchedule;
  /** Steps that were made. */
  step = 0;
  /** Replaced by training, tensor by tensor. */
  parameters: HypernetParameters<T>;
  readonly frozen: HypernetFrozen<T>;
  readonly #bodyConfig: SamOutConfig;
  readonly #body: SamOutParameters<T>;
  #m: T[];
  #v: T[];

  constructor(
    backend: Backend<T>,
    config: HypernetConfig,
    schedule: ZettSchedule,
    body: ZettBody,
    parameters: HypernetParameters<Tensor>,
    frozen: HypernetFrozen<Tensor>,
    state?: ZettState,
  ) {
    this.backend = backend;
    this.config = config;
    this.schedule = schedule;
    this.#bodyConfig = body.config;
    this.#body = mapParameters(body.parameters, (t) => backend.upload(t));
    this.parameters = mapHypernet(parameters, (t) => backend.upload(t));
    this.frozen = mapFrozen(frozen, (t) => backend.upload(t));
    const list = listHypernet(this.parameters);
    const bring = (kept: readonly Tensor[] | undefined): T[] =>
      list.map((p, i) => (kept === undefined ? backend.zeros('f32', p.shape) : backend.upload(kept[i]!)));
    this.#m = bring(state?.m);
    this.#v = bring(state?.v);
    this.step = state?.step ?? 0;
  }

  /** Whether the next step belongs to the warm-up. */
  get warmingUp(): boolean {
    return this.step < this.schedule.identitySteps;
  }

  /**
   * One step of the warm-up: half the mean squared distance of both tables' predicted rows to the source's.
   * @param ids of the source's tokens, drawn by the caller; each is its own form
   */
  async identity(ids: Int32Array): Promise<ZettMetric> {
    const { config, backend } = this;
    const forms = new Int32Array(ids.length * config.length).fill(-1);
    for (let n = 0; n < ids.length; n++) forms[n * config.length] = ids[n]!;
    const batch = this.#bring(tensor([ids.length, config.length], forms));
    using chosen = backend.upload(tensor([ids.length], ids));
    return await this.#move([batch], 'identity', (ops, tape, made) => {
      const rows = made[0]!;
      const goal = (table: T) => ops.gatherRows(tape.constant(table), tape.constant(chosen));
      const first = ops.identityLoss(rows.in, goal(this.#body.embedding), { weight: 0.5 });
      if (rows.out === undefined || this.#body.head === undefined) return { loss: first };
      return { loss: ops.add(first, ops.identityLoss(rows.out, goal(this.#body.head), { weight: 0.5 })) };
    });
  }

  /** One step on text: the frozen body's loss with predicted tables, and the drift of the tokens that the source has. */
  async language(task: ZettTask): Promise<ZettMetric> {
    const { config, backend } = this;
    const groups = formGroups(task.forms);
    const batches = groups.map((g) => this.#bring(g.forms));
    const [B = 0, length = 0] = task.tokens.shape;
    const cut = (at: number): Tensor => {
      const out = new Int32Array(B * (length - 1));
      for (let r = 0; r < B; r++) {
        out.set(
          (task.tokens.data as Int32Array).subarray(r * length + at, r * length + at + length - 1),
          r * (length - 1),
        );
      }
      return tensor([B, length - 1], out);
    };
    using inputs = backend.upload(cut(0));
    using targets = backend.upload(cut(1));
    using stack = new DisposableStack();
    const bring = (t: Tensor): T => stack.use(backend.upload(t));
    const at = rowsByGroup(task.rows, groups).map(bring);
    // The drift is that of tokens with one piece, so the first group has them all, if there are any.
    const forms = bring(groups[0]!.forms);
    using copies = backend.upload(task.copies);
    const { paddingIndex } = task;
    const vocabulary = task.rows.size;
    const model = samOutConfig({ ...this.#bodyConfig, vocabulary, paddingIndex });
    return await this.#move(batches, 'language', (ops, tape, rows) => {
      const put = (made: readonly TapeVar<T>[], source: T) => {
        const parts = made.map((predicted, g) => ({ predicted, rows: tape.constant(at[g]!) }));
        return assembleTable(ops, parts, tape.constant(source), tape.constant(copies));
      };
      const single = rows[0]!;
      const embedding = put(
        rows.map((r) => r.in),
        this.#body.embedding,
      );
      const head =
        single.out === undefined
          ? undefined
          : put(
              rows.map((r) => r.out!),
              this.#body.head!,
            );
      const layers = mapParameters(this.#body, (t) => tape.constant(t)).layers;
      const p = { embedding, layers, ...(head === undefined ? {} : { head }) };
      const ids = tape.constant(inputs);
      const { loss, count, state } = samOutLoss(ops, model, p, ids, tape.constant(targets), {
        ignoreIndex: paddingIndex,
      });
      count[Symbol.dispose]();
      state[Symbol.dispose]();
      if (this.schedule.driftWeight === 0) return { loss, crossEntropy: loss };
      const weight = this.schedule.driftWeight / (config.tied ? 1 : 2);
      const drift = (made: typeof embedding, source: T) =>
        ops.driftLoss(made, tape.constant(source), tape.constant(forms), { weight }).loss;
      let sum = ops.add(loss, drift(single.in, this.#body.embedding));
      if (single.out !== undefined) sum = ops.add(sum, drift(single.out, this.#body.head!));
      return { loss: sum, crossEntropy: loss };
    });
  }

  /** What a checkpoint keeps. */
  async state(): Promise<{ readonly parameters: HypernetParameters<Tensor>; readonly state: ZettState }> {
    const read = (list: readonly T[]): Promise<Tensor[]> =>
      Promise.all(list.map((t) => this.backend.read(t)));
    const values = await read(listHypernet(this.parameters));
    let i = 0;
    const parameters = mapHypernet(this.parameters, () => values[i++]!);
    return { parameters, state: { step: this.step, m: await read(this.#m), v: await read(this.#v) } };
  }

  [Symbol.dispose](): void {
    const bodies: T[] = [];
    mapParameters(this.#body, (t) => bodies.push(t));
    for (const t of [
      ...this.#m,
      ...this.#v,
      ...listHypernet(this.parameters),
      ...Object.values(this.frozen),
      ...bodies,
    ]) {
      t[Symbol.dispose]();
    }
  }

  #bring(forms: Tensor): HypernetBatch<T> {
    const batch = hypernetBatch(this.config, this.frozen.table.shape[0]!, forms);
    return mapBatch(batch, (t) => this.backend.upload(t));
  }

  /** Forward, backward, clip, one step of AdamW; biases and normalisations do not decay. */
  async #move(
    batches: readonly HypernetBatch<T>[],
    phase: ZettMetric['phase'],
    lossOf: (
      ops: TapeOps<T>,
      tape: Tape<T>,
      rows: readonly ReturnType<typeof hypernetRows<TapeVar<T>>>[],
    ) => { loss: TapeVar<T>; crossEntropy?: TapeVar<T> },
  ): Promise<ZettMetric> {
    const { backend, schedule } = this;
    using tape = new Tape(backend);
    const taped = mapHypernet(this.parameters, (t) => tape.parameter(t));
    const frozen = mapFrozen(this.frozen, (t) => tape.constant(t));
    const rows = batches.map((batch) =>
      hypernetRows(
        tape.ops,
        this.config,
        taped,
        frozen,
        mapBatch(batch, (t) => tape.constant(t)),
      ),
    );
    const { loss, crossEntropy } = lossOf(tape.ops, tape, rows);
    const gradients = tape.backward(loss, listHypernet(taped));
    const value = (await backend.read(loss.value)).data[0]!;
    const plain = crossEntropy === undefined ? undefined : (await backend.read(crossEntropy.value)).data[0]!;
    for (const t of batches.flatMap((batch) => Object.values(batch))) t[Symbol.dispose]();
    if (!Number.isFinite(value)) {
      for (const g of gradients) g[Symbol.dispose]();
      throw new ZettDivergedError(
        'zett',
        `the loss of step ${this.step + 1} is ${value}; nothing was changed: go back to the last checkpoint, or lower the learning rate`,
      );
    }
    const clip = backend.ops.gradientClipFactor(gradients, schedule.maxNorm);
    const lr = learningRate(schedule, this.step);
    this.step++;
    let i = 0;
    this.parameters = mapHypernet(this.parameters, (param, path) => {
      const [m, v, gradient] = [this.#m[i]!, this.#v[i]!, gradients[i]!];
      const decays = path.endsWith('.weight') || path === 'positions' || path === 'extra';
      const next = backend.ops.adamW(param, gradient, m, v, this.step, {
        lr,
        beta1: 0.9,
        beta2: 0.95,
        weightDecay: decays ? schedule.weightDecay : 0,
        factor: clip.factor,
      });
      for (const t of [param, gradient, m, v]) t[Symbol.dispose]();
      this.#m[i] = next.m;
      this.#v[i] = next.v;
      i++;
      return next.param;
    });
    clip[Symbol.dispose]();
    return { step: this.step, phase, loss: value, ...(plain === undefined ? {} : { crossEntropy: plain }) };
  }
}

type TapeOps<T extends AnyTensor> = Tape<T>['ops'];
type TapeVar<T extends AnyTensor> = Var<T>;
