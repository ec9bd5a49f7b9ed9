import { Tape, type Var } from '../../core/autograd.ts';
import type { Backend } from '../../core/backend.ts';
import { OpError } from '../../core/errors.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { samOutConfig } from '../samOut/config.ts';
import { samOutLoss } from '../samOut/model.ts';
import { type LayerParameters, mapParameters, type SamOutParameters } from '../samOut/parameters.ts';
import { type Body, bodyLoss, type ZettBody } from './body.ts';
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
  /** The language of its tokens; only where the hypernetwork has any. */
  readonly language?: number;
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

/** What the trainer wants of the model: a SamOut, or any model through its callback. */
export type FrozenBody = ZettBody | Body;

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
 * Trains a hypernetwork for one frozen model, a SamOut or any other through its callback: a warm-up on the source's own tokens, then the language model's loss under
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
  /** The model as it was given: the trainer needs its configuration, or calls it. */
  readonly #body: FrozenBody;
  /** The layers of a SamOut, brought here; none for a model that is called. */
  readonly #layers: SamOutParameters<T>['layers'];
  readonly #source: { readonly in: T; readonly out?: T };
  #m: T[];
  #v: T[];

  constructor(
    backend: Backend<T>,
    config: HypernetConfig,
    schedule: ZettSchedule,
    body: FrozenBody,
    parameters: HypernetParameters<Tensor>,
    frozen: HypernetFrozen<Tensor>,
    state?: ZettState,
  ) {
    this.backend = backend;
    this.config = config;
    this.schedule = schedule;
    this.#body = body;
    const own = 'logits' in body ? undefined : mapParameters(body.parameters, (t) => backend.upload(t));
    this.#layers = own?.layers ?? [];
    if (own !== undefined)
      this.#source = { in: own.embedding, ...(own.head === undefined ? {} : { out: own.head }) };
    else {
      const { in: input, out } = (body as Body).tables;
      this.#source = {
        in: backend.upload(input),
        ...(out === undefined ? {} : { out: backend.upload(out) }),
      };
    }
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
   * @param language what they are marked with; only where the hypernetwork has languages
   */
  async identity(ids: Int32Array, language?: number): Promise<ZettMetric> {
    const { config, backend } = this;
    const forms = new Int32Array(ids.length * config.length).fill(-1);
    for (let n = 0; n < ids.length; n++) forms[n * config.length] = ids[n]!;
    const batch = this.#bring(tensor([ids.length, config.length], forms), language);
    using chosen = backend.upload(tensor([ids.length], ids));
    return await this.#move([batch], 'identity', (ops, tape, made) => {
      const rows = made[0]!;
      const goal = (table: T) => ops.gatherRows(tape.constant(table), tape.constant(chosen));
      const first = ops.identityLoss(rows.in, goal(this.#source.in), { weight: 0.5 });
      if (rows.out === undefined || this.#source.out === undefined) return { loss: first };
      return { loss: ops.add(first, ops.identityLoss(rows.out, goal(this.#source.out), { weight: 0.5 })) };
    });
  }

  /** One step on text: the frozen body's loss with predicted tables, and the drift of the tokens that the source has. */
  async language(task: ZettTask): Promise<ZettMetric> {
    const { config, backend } = this;
    const groups = formGroups(task.forms);
    const batches = groups.map((g) => this.#bring(g.forms, task.language));
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
    const [inputs, targets] = [cut(0), cut(1)];
    using stack = new DisposableStack();
    const bring = (t: Tensor): T => stack.use(backend.upload(t));
    const at = rowsByGroup(task.rows, groups).map(bring);
    // The drift is that of tokens with one piece, so the first group has them all, if there are any.
    const forms = bring(groups[0]!.forms);
    const copies = bring(task.copies);
    return await this.#move(batches, 'language', async (ops, tape, rows) => {
      const put = (made: readonly TapeVar<T>[], source: T) => {
        const parts = made.map((predicted, g) => ({ predicted, rows: tape.constant(at[g]!) }));
        return assembleTable(ops, parts, tape.constant(source), tape.constant(copies));
      };
      const { in: sourceIn, out: sourceOut } = this.#source;
      const inRows = rows.map((r) => r.in);
      const outRows = rows.flatMap((r) => (r.out === undefined ? [] : [r.out]));
      const tables = {
        in: put(inRows, sourceIn),
        ...(sourceOut === undefined ? {} : { out: put(outRows, sourceOut) }),
      };
      const judged =
        'logits' in this.#body
          ? await this.#callBody(this.#body, tables, inputs, targets, task.paddingIndex, bring)
          : { loss: this.#samOutLoss(ops, tape, this.#body, tables, bring(inputs), bring(targets), task) };
      if (this.schedule.driftWeight === 0) return judged;
      const weight = this.schedule.driftWeight / (config.tied ? 1 : 2);
      const drift = (made: TapeVar<T>, source: T) =>
        ops.driftLoss(made, tape.constant(source), tape.constant(forms), { weight }).loss;
      let sum = drift(inRows[0]!, sourceIn);
      if (sourceOut !== undefined) sum = ops.add(sum, drift(outRows[0]!, sourceOut));
      return { ...judged, drift: sum };
    });
  }

  /** The loss of a SamOut on the tape, with the tables that were made. */
  #samOutLoss(
    ops: TapeOps<T>,
    tape: Tape<T>,
    body: ZettBody,
    tables: MadeTables<T>,
    inputs: T,
    targets: T,
    { rows, paddingIndex }: ZettTask,
  ): TapeVar<T> {
    const layers = this.#layers.map((layer) => mapLayer(layer, (t) => tape.constant(t)));
    const p = { embedding: tables.in, layers, ...(tables.out === undefined ? {} : { head: tables.out }) };
    const model = samOutConfig({ ...body.config, vocabulary: rows.size, paddingIndex });
    const { loss, count, state } = samOutLoss(ops, model, p, tape.constant(inputs), tape.constant(targets), {
      ignoreIndex: paddingIndex,
    });
    count[Symbol.dispose]();
    state[Symbol.dispose]();
    return loss;
  }

  /** The loss of a model that is called, and the gradients that its tables get from it. */
  async #callBody(
    body: Body,
    tables: MadeTables<T>,
    inputs: Tensor,
    targets: Tensor,
    paddingIndex: number,
    bring: (t: Tensor) => T,
  ): Promise<Judged<T>> {
    const { backend } = this;
    const made = {
      in: await backend.read(tables.in.value),
      ...(tables.out === undefined ? {} : { out: await backend.read(tables.out.value) }),
    };
    const { loss, gradients } = await bodyLoss(body, made, inputs, targets, paddingIndex);
    const called: (readonly [TapeVar<T>, T])[] = [[tables.in, bring(gradients.in)]];
    if (tables.out !== undefined) called.push([tables.out, bring(gradients.out!)]);
    return { loss, called };
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
    for (const layer of this.#layers) mapLayer(layer, (t) => bodies.push(t));
    for (const t of [
      ...this.#m,
      ...this.#v,
      ...listHypernet(this.parameters),
      ...Object.values(this.frozen),
      ...Object.values(this.#source),
      ...bodies,
    ]) {
      t[Symbol.dispose]();
    }
  }

  #bring(forms: Tensor, language?: number): HypernetBatch<T> {
    const batch = hypernetBatch(this.config, this.frozen.table.shape[0]!, forms, language);
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
    ) => Judged<T> | Promise<Judged<T>>,
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
    const { loss, called = [], drift } = await lossOf(tape.ops, tape, rows);
    using one = backend.upload(tensor([], [1]));
    const results = [...called];
    for (const part of [loss, drift]) {
      if (part !== undefined && typeof part !== 'number') results.push([part, one]);
    }
    const gradients = tape.pullbackAll(results, listHypernet(taped));
    const numberOf = async (part: number | TapeVar<T> | undefined): Promise<number> =>
      typeof part === 'object' ? (await backend.read(part.value)).data[0]! : (part ?? 0);
    const plain = await numberOf(loss);
    const value = plain + (await numberOf(drift));
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
    return { step: this.step, phase, loss: value, ...(phase === 'identity' ? {} : { crossEntropy: plain }) };
  }
}

type TapeOps<T extends AnyTensor> = Tape<T>['ops'];
type TapeVar<T extends AnyTensor> = Var<T>;

/** Tables on the tape. */
interface MadeTables<T extends AnyTensor> {
  readonly in: TapeVar<T>;
  readonly out?: TapeVar<T>;
}

/** What a step is judged by. */
interface Judged<T extends AnyTensor> {
  /** On the tape; a number where a model was called, whose gradients are then in `called`. */
  readonly loss: TapeVar<T> | number;
  readonly called?: readonly (readonly [TapeVar<T>, T])[];
  readonly drift?: TapeVar<T>;
}

/** Apply a function to each parameter of a layer. */
function mapLayer<A, B>(layer: LayerParameters<A>, f: (value: A) => B): LayerParameters<B> {
  return Object.fromEntries(
    Object.entries(layer).map(([name, value]) => [name, f(value as A)]),
  ) as unknown as LayerParameters<B>;
}
