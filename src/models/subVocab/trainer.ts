import { Tape, type Var } from '../../core/autograd.ts';
import { ArgumentError } from '../../core/errors.ts';
import { foldIn, type Key } from '../../core/key.ts';
import type { Relaxation } from '../../core/ops/gumbelTopK.ts';
import { type InclusionForm, inclusionForms } from '../../core/ops/inclusionLoss.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { headOf, samOutFeatures } from '../samOut/model.ts';
import { DivergedError } from '../samOut/trainer.ts';
import type { Curriculum } from './curriculum.ts';
import { listSubVocab, mapSubVocab, queriesOf, type SubVocab, type SubVocabParameters } from './model.ts';
import { reinforce, unorderedSet, withoutReplacement } from './plackettLuce.ts';
import { ignored, type Segments, segmentsOf } from './segments.ts';

/**
 * How the sampler learns from what it drew, besides the inclusion loss:
 * `straightThrough`: the gradient of each word's gate, from the loss within what was drawn, through a relaxation of the top-k;
 * `reinforce`: the score function of whole samples, with the share of targets they miss, and a leave-one-out baseline;
 * `withoutReplacement`: the probability of the targets, from one sample by its inclusion weights;
 * `unorderedSet`: the same, whatever the order in which the sample was drawn: less variance, and 200 exponentials per word on the host;
 * `none`: from the inclusion loss alone.
 */
export type Estimator = 'straightThrough' | 'reinforce' | 'withoutReplacement' | 'unorderedSet' | 'none';

export const estimators: readonly Estimator[] = [
  'straightThrough',
  'reinforce',
  'withoutReplacement',
  'unorderedSet',
  'none',
];

export interface SubVocabTrainerOptions {
  /** @defaultValue 0.001 */
  readonly lr?: number;
  /** @defaultValue 1 */
  readonly maxNorm?: number;
  /** @defaultValue 'straightThrough' */
  readonly estimator?: Estimator;
  /** straightThrough, and the inclusion loss 'soft'. @defaultValue 'thresholdExp' */
  readonly relaxation?: Relaxation;
  /** The same. @defaultValue 1 */
  readonly temperature?: number;
  /** reinforce: samples per [SUBVOCAB], at least 2. @defaultValue 4 */
  readonly samples?: number;
  /** Weight of the score-function estimators beside the loss. @defaultValue 1 */
  readonly samplerWeight?: number;
  /** Share of the inclusion loss in the whole: (1 - w) cross entropy + w inclusion. @defaultValue 0.2 */
  readonly inclusionWeight?: number;
  /** @defaultValue 'nll' */
  readonly inclusion?: InclusionForm;
  /** Put missing targets among the candidates, so that the sampler can learn them; recall counts without. @defaultValue true */
  readonly inject?: boolean;
  /** The size of the sub-vocabularies while training. Absent: k of the model */
  readonly curriculum?: Curriculum;
  /** Rebuild the index every so many steps. @defaultValue 10 */
  readonly refreshEvery?: number;
  /** Decides the noise of every step. */
  readonly key: Key;
}

/** What a step says. */
export interface StepReport {
  /** Mean cross entropy in nats, of all predictions that count. */
  readonly loss: number;
  /** Mean inclusion loss. */
  readonly inclusion: number;
  readonly count: number;
  /** Words per sub-vocabulary. */
  readonly k: number;
  /** Share of the targets that were drawn without having been put in. */
  readonly recall: number;
  /** Share of the targets among the candidates, before any were put in. */
  readonly candidateRecall: number;
  /** Recall of the index before it was rebuilt in this step, against exact search over the table as it had become. */
  readonly staleRecall?: number;
}

/** What the sub-vocabularies of a batch were. */
interface Drawn<T extends AnyTensor> {
  readonly loss: Var<T>;
  readonly phi: Var<T>;
  readonly tokens: Var<T>;
  readonly words: Var<T>;
  /** Targets that were drawn; the others are ignored. */
  readonly drawnTargets: Int32Array;
  readonly indices: Tensor;
  readonly logInclusion: Tensor;
  readonly noise: T;
  readonly inclusion: Var<T>;
  readonly places: Int32Array;
  readonly k: number;
  readonly recall: number;
  readonly candidateRecall: number;
}

/**
 * Trains a model in place, one batch per call. Every tensor goes through the operators, so the same steps run on both twins; the
 * host waits for the candidates, the selection and the loss.
 */
export class SubVocabTrainer<T extends AnyTensor> implements Disposable {
  readonly model: SubVocab<T>;
  readonly options: SubVocabTrainerOptions;
  step = 0;
  #m: T[];
  #v: T[];

  constructor(model: SubVocab<T>, options: SubVocabTrainerOptions) {
    const { samples = 4, inclusionWeight = 0.2, estimator = 'straightThrough', inclusion = 'nll' } = options;
    const { refreshEvery = 10, samplerWeight = 1 } = options;
    for (const [name, value, may] of [
      ['estimator', estimator, estimators],
      ['inclusion', inclusion, inclusionForms],
    ] as const)
      if (!(may as readonly string[]).includes(value))
        throw new ArgumentError(
          'subVocab',
          `${name} is ${JSON.stringify(value)}; it must be one of ${may.join(', ')}`,
        );
    if (!(Number.isSafeInteger(refreshEvery) && refreshEvery >= 1))
      throw new ArgumentError('subVocab', `refreshEvery is ${refreshEvery}; it must be an integer from 1 on`);
    if (!Number.isFinite(samplerWeight))
      throw new ArgumentError('subVocab', `samplerWeight is ${samplerWeight}; it must be a finite number`);
    if (!(inclusionWeight >= 0 && inclusionWeight < 1))
      throw new ArgumentError('subVocab', `inclusionWeight is ${inclusionWeight}; it must be in [0, 1)`);
    if (!(Number.isInteger(samples) && samples >= 2))
      throw new ArgumentError('subVocab', `samples is ${samples}; the baseline needs at least 2`);
    this.model = model;
    this.options = options;
    const zeros = (): T[] => listSubVocab(model.parameters).map((p) => model.backend.zeros('f32', p.shape));
    this.#m = zeros();
    this.#v = zeros();
  }

  /**
   * One step on a batch of rows: position t predicts token t + 1; what follows a [SUBVOCAB] is predicted within its words.
   * @param tokens i32 [B, S + 1]
   * @throws DivergedError when the loss is not finite: nothing was changed
   */
  async train(tokens: Tensor): Promise<StepReport> {
    const { backend } = this.model;
    const { refreshEvery = 10 } = this.options;
    using tape = new Tape(backend);
    const taped = mapSubVocab(this.model.parameters, (t) => tape.parameter(t));
    const made = await this.lossOn(tape, taped, tokens);
    const { total, drawn, count, cross } = made;
    const parameters = listSubVocab(taped);
    const gradients = tape.backward(total, parameters);
    const loss = (await backend.read(cross.value)).data[0]!;
    if (!Number.isFinite(loss)) {
      for (const t of gradients) t[Symbol.dispose]();
      throw new DivergedError(
        'train',
        `the loss of step ${this.step + 1} is ${loss}; nothing was changed: lower the learning rate`,
      );
    }
    if (drawn !== undefined) await this.#addSampler(tape, parameters, drawn, gradients);
    this.#apply(gradients);
    const inclusion = drawn === undefined ? 0 : (await backend.read(drawn.inclusion.value)).data[0]!;
    const recall = drawn?.recall ?? 1;
    if (drawn !== undefined) this.options.curriculum?.advance(recall);
    const report = {
      loss,
      inclusion,
      count,
      k: drawn?.k ?? 0,
      recall,
      candidateRecall: drawn?.candidateRecall ?? 1,
    };
    if (!this.model.indexed || this.step % refreshEvery !== 0 || drawn === undefined) return report;
    const staleRecall = await this.#refresh(tokens);
    return { ...report, ...(staleRecall === undefined ? {} : { staleRecall }) };
  }

  /** The whole loss of a batch on a tape, and its parts: for training, and for whoever wants to look at its gradients. */
  async lossOn(
    tape: Tape<T>,
    taped: SubVocabParameters<Var<T>>,
    tokens: Tensor,
  ): Promise<{ total: Var<T>; cross: Var<T>; count: number; drawn: Drawn<T> | undefined }> {
    const { model } = this;
    const { config } = model;
    const seg = segmentsOf(tokens, config.subVocabId, [config.samOut.paddingIndex]);
    const ids = new Int32Array(seg.batch * seg.length);
    for (let row = 0; row < seg.batch; row++) {
      const from = row * (seg.length + 1);
      ids.set((tokens.data as Int32Array).subarray(from, from + seg.length), row * seg.length);
    }
    const given = tensor([seg.batch, seg.length], ids);
    model.checkIds(given);
    const bring = (t: Tensor): Var<T> => this.#constant(tape, t);
    const { ops } = tape;
    const { features, state } = samOutFeatures(ops, config.samOut, taped.samOut, bring(given));
    state[Symbol.dispose]();
    const free = seg.freeTargets.length;
    const drawn = seg.count > 0 ? await this.#draw(tape, taped, seg, features) : undefined;
    const inside = seg.targets.filter((t) => t !== ignored).length;
    if (free + inside === 0)
      throw new ArgumentError('subVocab', 'no token of the batch can be predicted; give rows with words');
    let cross = drawn?.loss;
    if (free > 0) {
      const rows = ops.gatherRows(features, bring(tensor([free], seg.freePlaces)));
      const full = ops.crossEntropy(rows, headOf(taped.samOut), bring(tensor([free], seg.freeTargets))).loss;
      cross =
        cross === undefined ? full : ops.lerp(full, cross, bring(tensor([1], [inside / (free + inside)])));
    }
    const { inclusionWeight = 0.2 } = this.options;
    const total =
      drawn === undefined || inclusionWeight === 0
        ? cross!
        : ops.lerp(cross!, drawn.inclusion, bring(tensor([1], [inclusionWeight])));
    return { total, cross: cross!, count: free + inside, drawn };
  }

  /** Steps 2 to 6 on the tape: queries, candidates, the sample, and the losses over it. */
  async #draw(
    tape: Tape<T>,
    taped: SubVocabParameters<Var<T>>,
    seg: Segments,
    features: Var<T>,
  ): Promise<Drawn<T>> {
    const { model } = this;
    const { backend, config } = model;
    const { ops } = tape;
    const bring = (t: Tensor): Var<T> => this.#constant(tape, t);
    const { count, longest } = seg;
    const head = headOf(taped.samOut);
    const positions = bring(tensor([seg.batch, seg.queries], seg.positions));
    const asked = queriesOf(ops, config, taped.query, features, positions);
    const queries = ops.gatherRows(asked, bring(tensor([count, 1], seg.owners)));
    using flat = backend.ops.gatherRows(asked.value, bring(tensor([count], seg.owners)).value);
    const found = await model.candidates(flat);
    const { inject = true } = this.options;
    const { candidates, places, known } = placeTargets(seg, found, inject);
    const among = bring(candidates);
    const rows = Int32Array.from({ length: count }, (_, r) => r);
    const phi = ops.gatherRows(ops.subVocabHead(queries, head, among), bring(tensor([count], rows)));
    const k = Math.min(this.options.curriculum?.k ?? config.k, candidates.shape[1]!);
    const key = foldIn(this.options.key, this.step);
    const noise = this.#own(tape, backend.ops.gumbelNoise(key, phi.shape));
    using sample = backend.ops.gumbelTopK(phi.value, k, { noise });
    const [indices, logInclusion] = await Promise.all([
      backend.read(sample.indices),
      backend.read(sample.logInclusion),
    ]);
    const c = candidates.shape[1]!;
    const words = indices.data.map((i, at) => (i < 0 ? -1 : candidates.data[Math.floor(at / k) * c + i]!));
    const tokens = ops.gatherRows(features, bring(tensor([count, longest], seg.places)));
    const selected = bring(tensor([count, k], words as Int32Array));
    const targets = bring(tensor([count, longest], seg.targets));
    const corrected = { logInclusion: bring(logInclusion), ignoreIndex: ignored };
    const { loss } = ops.sampledCrossEntropy(tokens, head, selected, targets, corrected);
    // One row of scores per token: those of its sub-vocabulary.
    const owners = Int32Array.from(places, (place, i) => (place < 0 ? -1 : Math.floor(i / longest)));
    const perToken = bring(tensor([places.length], owners));
    const { inclusion: form = 'nll', relaxation = 'thresholdExp', temperature = 1 } = this.options;
    const perturbed = form === 'hinge' ? undefined : ops.add(phi, tape.constant(noise));
    // soft: of the relaxed selection at the same noise.
    const relaxed = (): Var<T> =>
      ops.gumbelTopKRelaxed(phi, k, { noise: tape.constant(noise), relaxation, temperature });
    const { loss: inclusion } = ops.inclusionLoss(
      ops.gatherRows(form === 'soft' ? relaxed() : phi, perToken),
      bring(tensor([places.length], places)),
      k,
      { form, ...(perturbed === undefined ? {} : { perturbed: ops.gatherRows(perturbed, perToken) }) },
    );
    const drawnSets = Array.from(
      { length: count },
      (_, r) => new Set(indices.data.subarray(r * k, (r + 1) * k)),
    );
    let counted = 0;
    let hits = 0;
    let near = 0;
    const drawnTargets = new Int32Array(seg.targets.length).fill(ignored);
    for (let i = 0; i < seg.targets.length; i++) {
      if (seg.targets[i] === ignored) continue;
      counted++;
      const isDrawn = drawnSets[Math.floor(i / longest)]!.has(places[i]!);
      if (isDrawn) drawnTargets[i] = seg.targets[i]!;
      if (known[i] === 0) continue;
      near++;
      if (isDrawn) hits++;
    }
    const share = (n: number): number => (counted === 0 ? 1 : n / counted);
    const recalls = { recall: share(hits), candidateRecall: share(near) };
    return {
      ...{ loss, phi, tokens, words: selected, drawnTargets },
      ...{ indices, logInclusion, noise, inclusion, places, k },
      ...recalls,
    };
  }

  /** Add the gradient that goes through the selection. */
  async #addSampler(
    tape: Tape<T>,
    parameters: readonly Var<T>[],
    drawn: Drawn<T>,
    gradients: T[],
  ): Promise<void> {
    const { backend } = this.model;
    const { estimator = 'straightThrough', relaxation = 'thresholdExp', temperature = 1 } = this.options;
    if (estimator === 'none') return;
    const { phi, k, noise } = drawn;
    let dPhi: T;
    if (estimator === 'straightThrough') {
      using dGates = this.#gateGradient(drawn);
      using indices = backend.upload(drawn.indices);
      const options = { positions: indices, noise, relaxation, temperature };
      dPhi = backend.ops.gumbelTopKBackward(dGates, phi.value, k, options);
    } else dPhi = backend.upload(await this.#scoreFunction(drawn, estimator));
    using gradient = dPhi;
    const more = tape.pullback(phi, parameters, gradient);
    for (const [i, g] of more.entries()) {
      const sum = backend.ops.add(gradients[i]!, g);
      for (const t of [gradients[i]!, g]) t[Symbol.dispose]();
      gradients[i] = sum;
    }
  }

  /**
   * What the loss within the sub-vocabulary says of each word's gate. Of tokens alone whose target was drawn: with a target that
   * was put in, every other word only costs, and the sampler would learn to draw none that the model finds likely.
   */
  #gateGradient({ tokens, words, drawnTargets, k }: Drawn<T>): T {
    const { backend } = this.model;
    const [count = 0, longest = 0] = tokens.shape;
    using tape = new Tape(backend);
    const gates = tape.parameter(this.#own(tape, backend.upload(ones([count, k]))));
    const targets = this.#constant(tape, tensor([count, longest], drawnTargets));
    const fixed = [tokens, words].map((v) => tape.constant(v.value));
    const table = tape.constant(this.model.table);
    const options = { gates, ignoreIndex: ignored };
    const { loss } = tape.ops.sampledCrossEntropy(fixed[0]!, table, fixed[1]!, targets, options);
    return tape.backward(loss, [gates])[0]!;
  }

  /** Gradients of phi by score functions, on the host: of the targets that are missed. */
  async #scoreFunction(
    drawn: Drawn<T>,
    estimator: Exclude<Estimator, 'none' | 'straightThrough'>,
  ): Promise<Tensor> {
    const { backend } = this.model;
    const { samples = 4, samplerWeight = 1 } = this.options;
    const { phi, k, places } = drawn;
    const [rows = 0, c = 0] = phi.shape;
    const values = (await backend.read(phi.value)).data;
    const longest = places.length / Math.max(rows, 1);
    const draws: Tensor[] = [drawn.indices];
    for (let m = 1; estimator === 'reinforce' && m < samples; m++) {
      const key = foldIn(foldIn(this.options.key, this.step), m);
      using more = backend.ops.gumbelTopK(phi.value, k, { key });
      draws.push(await backend.read(more.indices));
    }
    const out = new Float32Array(rows * c);
    for (let r = 0; r < rows; r++) {
      const own = values.subarray(r * c, (r + 1) * c);
      const targets = [...places.subarray(r * longest, (r + 1) * longest)].filter((p) => p >= 0);
      if (targets.length === 0) continue;
      const sampleOf = (t: Tensor): number[] =>
        [...t.data.subarray(r * k, (r + 1) * k)].filter((i) => i >= 0);
      let g: Float64Array;
      if (estimator === 'reinforce') {
        const sets = draws.map(sampleOf);
        const missed = sets.map((s) => {
          const inside = new Set(s);
          return targets.filter((t) => !inside.has(t)).length / targets.length;
        });
        g = reinforce(own, sets, missed);
      } else {
        const sample = sampleOf(drawn.indices);
        const weights = sample.map((i) => -targets.filter((t) => t === i).length / targets.length);
        const inclusion = drawn.logInclusion.data.subarray(r * k, (r + 1) * k);
        g =
          estimator === 'unorderedSet'
            ? unorderedSet(own, sample, weights)
            : withoutReplacement(own, sample, inclusion, weights);
      }
      for (let i = 0; i < c; i++) out[r * c + i] = (samplerWeight * g[i]!) / rows;
    }
    return tensor([rows, c], out);
  }

  /** Rebuild the index; how well the old one still did on the queries of this batch. */
  async #refresh(tokens: Tensor): Promise<number | undefined> {
    const { model } = this;
    const { backend, config } = model;
    const seg = segmentsOf(tokens, config.subVocabId);
    const [batch = 0, width = 0] = tokens.shape;
    const encoded = model.encode(tensor([batch, width], tokens.data as Int32Array));
    using features = encoded.features;
    encoded.state[Symbol.dispose]();
    using positions = backend.upload(tensor([seg.batch, seg.queries], seg.positions));
    using asked = queriesOf(backend.ops, config, model.parameters.query, features, positions);
    using owners = backend.upload(tensor([seg.count], seg.owners));
    using queries = backend.ops.gatherRows(asked, owners);
    const recall = await model.index.recall(model.table, queries, config.candidates);
    await model.refreshIndex();
    return recall;
  }

  #apply(gradients: readonly T[]): void {
    const { model, options } = this;
    const { ops } = model.backend;
    const { lr = 0.001, maxNorm = 1 } = options;
    using clip = ops.gradientClipFactor(gradients, maxNorm);
    this.step++;
    let i = 0;
    model.parameters = mapSubVocab(model.parameters, (param) => {
      const [m, v, gradient] = [this.#m[i]!, this.#v[i]!, gradients[i]!];
      const next = ops.adamW(param, gradient, m, v, this.step, { lr, factor: clip.factor });
      for (const t of [param, gradient, m, v]) t[Symbol.dispose]();
      this.#m[i] = next.m;
      this.#v[i] = next.v;
      i++;
      return next.param;
    });
  }

  /** A host tensor as data on the tape, which disposes it. */
  #constant(tape: Tape<T>, t: Tensor): Var<T> {
    return tape.constant(this.#own(tape, this.model.backend.upload(t)));
  }

  #own(tape: Tape<T>, t: T): T {
    tape.adopt(t);
    return t;
  }

  [Symbol.dispose](): void {
    for (const t of [...this.#m, ...this.#v]) t[Symbol.dispose]();
    this.#m = [];
    this.#v = [];
  }
}

function ones(shape: readonly number[]): Tensor {
  return tensor(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1));
}

/**
 * Where each target stands among the candidates of its sub-vocabulary: -1 where it does not. With `inject`, missing ones take the
 * places of the last candidates; `known` says which were there before.
 */
function placeTargets(
  { count, longest, targets }: Segments,
  found: Tensor,
  inject: boolean,
): { candidates: Tensor; places: Int32Array; known: Uint8Array } {
  const c = found.shape[1]!;
  const data = (found.data as Int32Array).slice();
  const places = new Int32Array(targets.length).fill(-1);
  const known = new Uint8Array(targets.length);
  for (let r = 0; r < count; r++) {
    const at = new Map<number, number>();
    for (let j = 0; j < c; j++) if (data[r * c + j]! >= 0) at.set(data[r * c + j]!, j);
    const own = targets.subarray(r * longest, (r + 1) * longest);
    own.forEach((t, i) => {
      if (t !== ignored && at.has(t)) known[r * longest + i] = 1;
    });
    let last = c - 1;
    const needed = new Set(own);
    for (const t of needed) {
      if (!inject || t === ignored || at.has(t)) continue;
      while (last >= 0 && needed.has(data[r * c + last]!)) last--;
      if (last < 0) break;
      data[r * c + last] = t;
      at.set(t, last--);
    }
    own.forEach((t, i) => {
      places[r * longest + i] = t === ignored ? -1 : (at.get(t) ?? -1);
    });
  }
  return { candidates: tensor([count, c], data), places, known };
}
