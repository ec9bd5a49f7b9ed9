import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import type { Ops } from '../../core/ops/index.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import type { HypernetConfig } from './config.ts';
import type { Head, HypernetParameters, Linear, Norm, Projection } from './parameters.ts';

/** What is fixed from the source model's tables: they are read scaled, and what is predicted is scaled back. */
export interface HypernetFrozen<T> {
  /** [V, d] or [V, 2 d]: the source rows (in, or in beside out), each feature with mean 0 and standard deviation 0.02. */
  readonly table: T;
  /** Diagonal [d, d] and shift [d] for predicted rows of the input table. */
  readonly inScale: T;
  readonly inShift: T;
  /** The same for the output table; absent where the source is tied. */
  readonly outScale?: T;
  readonly outShift?: T;
}

/** The tokens to predict, ready for the kernels. */
export interface HypernetBatch<T> {
  /** i32 [N, P]: rows of the source table, -1 = none: padding, an extra byte, the language's place. */
  readonly pieces: T;
  /** i32 of the same shape: rows of the extra bytes, or -1. Absent where there are none. */
  readonly extra?: T;
  /** i32 of the same shape: row of `positions` at each place. */
  readonly positions: T;
  /** u32 of the same shape: 1 = a piece or the language, 0 = padding. */
  readonly mask: T;
  /** i32 [N]: the first place of each token, counted over all places. */
  readonly first: T;
}

/**
 * Predicted embeddings, before anything is overwritten. Written once for both twins, with plain tensors and on a tape.
 *
 * h = Proj(Linear(source row of each piece)) + position; LN; a transformer over the pieces, which sees no padding, normalised after
 * each residual; the features of the first piece go through one head per table, and are scaled like the source's rows.
 *
 * @returns in [N, d] and, unless tied, out [N, d]
 */
export function hypernetRows<T extends AnyTensor>(
  ops: Ops<T>,
  c: HypernetConfig,
  p: HypernetParameters<T>,
  frozen: HypernetFrozen<T>,
  batch: HypernetBatch<T>,
): { in: T; out?: T } {
  let rows = ops.gatherRows(frozen.table, batch.pieces);
  if (p.extra !== undefined && batch.extra !== undefined) {
    using others = ops.gatherRows(p.extra, batch.extra);
    rows = replace(rows, ops.add(rows, others));
  }
  let h = replace(rows, linear(ops, rows, p.input));
  h = replace(h, project(ops, c, h, p.projection));
  using place = ops.gatherRows(p.positions, batch.positions);
  h = replace(h, ops.add(h, place));
  h = replace(h, normalise(ops, c, h, p.norm));
  for (const layer of p.layers) {
    using q = linear(ops, h, layer.query);
    using k = linear(ops, h, layer.key);
    using v = linear(ops, h, layer.value);
    const attention = ops.multiHeadAttention(q, k, v, { heads: c.heads, mask: batch.mask });
    attention.lse[Symbol.dispose]();
    using mixed = attention.y;
    using turned = linear(ops, mixed, layer.output);
    using sum = ops.add(h, turned);
    h = replace(h, normalise(ops, c, sum, layer.attentionNorm));
    using up = linear(ops, h, layer.up);
    using bent = ops.gelu(up, { form: 'tanh' });
    using down = linear(ops, bent, layer.down);
    using second = ops.add(h, down);
    h = replace(h, normalise(ops, c, second, layer.norm));
  }
  const e = replace(h, ops.gatherRows(h, batch.first));
  const made = head(ops, c, e, p.inHead, frozen.inScale, frozen.inShift);
  const second =
    p.outHead === undefined || frozen.outScale === undefined || frozen.outShift === undefined
      ? {}
      : { out: head(ops, c, e, p.outHead, frozen.outScale, frozen.outShift) };
  e[Symbol.dispose]();
  return { in: made, ...second };
}

function replace<T extends AnyTensor>(before: T, after: T): T {
  before[Symbol.dispose]();
  return after;
}

function linear<T extends AnyTensor>(ops: Ops<T>, x: T, { weight, bias }: Linear<T>): T {
  return ops.matmul(x, weight, { transposeB: true, bias });
}

function normalise<T extends AnyTensor>(ops: Ops<T>, c: HypernetConfig, x: T, { gamma, beta }: Norm<T>): T {
  const { y, mean, rstd } = ops.layerNorm(x, gamma, beta, { eps: c.layerNormEps });
  mean[Symbol.dispose]();
  rstd[Symbol.dispose]();
  return y;
}

function project<T extends AnyTensor>(ops: Ops<T>, c: HypernetConfig, x: T, p: Projection<T>): T {
  using up = linear(ops, x, p.up);
  using bent = ops.gelu(up, { form: 'tanh' });
  using down = linear(ops, bent, p.down);
  using bentAgain = ops.gelu(down, { form: 'tanh' });
  using sum = ops.add(x, bentAgain);
  return normalise(ops, c, sum, p.norm);
}

function head<T extends AnyTensor>(ops: Ops<T>, c: HypernetConfig, e: T, p: Head<T>, scale: T, shift: T): T {
  using projected = project(ops, c, e, p.projection);
  using row = linear(ops, projected, p.linear);
  return ops.matmul(row, scale, { bias: shift });
}

/** Predicted rows of some tokens, and which ids they are for. */
export interface PredictedPart<T> {
  readonly predicted: T;
  /** i32 [V']: the predicted row of each id, or -1. */
  readonly rows: T;
}

/**
 * A table for a whole vocabulary: predicted rows in their places, rows of special tokens copied from the source.
 * @param parts no id has a row in two of them; @param copies i32 [V']: the source row of each id, or -1
 */
export function assembleTable<T extends AnyTensor>(
  ops: Ops<T>,
  parts: readonly PredictedPart<T>[],
  source: T,
  copies: T,
): T {
  let table = ops.gatherRows(source, copies);
  for (const { predicted, rows } of parts) {
    using made = ops.gatherRows(predicted, rows);
    table = replace(table, ops.add(made, table));
  }
  return table;
}

/** Host tensors of a source model's two tables; `out` is absent where it is tied. */
export interface SourceTables {
  readonly in: Tensor;
  readonly out?: Tensor;
}

/** Mean and standard deviation of each feature over the rows. */
export function featureStatistics(table: Tensor): { mean: Float64Array; std: Float64Array } {
  const [rows = 0, width = 0] = table.shape;
  const mean = new Float64Array(width);
  const std = new Float64Array(width);
  for (let i = 0; i < table.size; i++) mean[i % width]! += table.data[i]! / rows;
  for (let i = 0; i < table.size; i++) std[i % width]! += (table.data[i]! - mean[i % width]!) ** 2 / rows;
  return { mean, std: std.map((v) => Math.sqrt(v) + 1e-8) };
}

/** How far the hypernetwork sees source rows spread: BERT's standard deviation of start values. */
const spread = 0.02;

/**
 * The fixed part of a hypernetwork. Source rows are read with mean 0 and standard deviation 0.02 per feature.
 * @param predicted statistics of what the heads give at the start, per table: predictions are moved to those of the source
 */
export function freeze(
  source: SourceTables,
  predicted: readonly { readonly mean: Float64Array; readonly std: Float64Array }[] = [],
): HypernetFrozen<Tensor> {
  const tables = source.out === undefined ? [source.in] : [source.in, source.out];
  const statistics = tables.map(featureStatistics);
  const [rows = 0, width = 0] = source.in.shape;
  const table = new Float32Array(rows * width * tables.length);
  for (let r = 0; r < rows; r++) {
    for (const [t, from] of tables.entries()) {
      const { mean, std } = statistics[t]!;
      for (let d = 0; d < width; d++) {
        table[(r * tables.length + t) * width + d] =
          (spread * (from.data[r * width + d]! - mean[d]!)) / std[d]!;
      }
    }
  }
  const scaling = tables.map((_, t) => {
    const { mean, std } = statistics[t]!;
    const diagonal = new Float32Array(width * width);
    const shift = new Float32Array(width);
    for (let d = 0; d < width; d++) {
      const scale = std[d]! / (predicted[t]?.std[d] ?? 1);
      diagonal[d * width + d] = scale;
      shift[d] = mean[d]! - scale * (predicted[t]?.mean[d] ?? 0);
    }
    return { scale: tensor([width, width], diagonal), shift: tensor([width], shift) };
  });
  return {
    table: tensor([rows, width * tables.length], table),
    inScale: scaling[0]!.scale,
    inShift: scaling[0]!.shift,
    ...(scaling[1] === undefined ? {} : { outScale: scaling[1].scale, outShift: scaling[1].shift }),
  };
}

/** Apply a function to each frozen tensor. */
export function mapFrozen<A, B>(
  f: HypernetFrozen<A>,
  each: (value: A, name: string) => B,
): HypernetFrozen<B> {
  return Object.fromEntries(
    Object.entries(f).map(([name, value]) => [name, each(value as A, name)]),
  ) as unknown as HypernetFrozen<B>;
}

/**
 * Surface forms as the kernels take them. Ids from `source` on are extra bytes. Places that are padding in all forms are left
 * out: nobody sees them, so they change nothing.
 * @param forms i32 [N, length], -1 = padding; @param language mark all tokens with this language
 * @throws ArgumentError for an id that is neither a source row nor an extra byte, or a language that there is not
 */
export function hypernetBatch(
  c: HypernetConfig,
  source: number,
  forms: Tensor,
  language?: number,
): HypernetBatch<Tensor> {
  const [rows = 0, length = 0] = forms.shape;
  if (length !== c.length) {
    throw new ArgumentError('hypernet', `forms have ${length} places; this hypernetwork reads ${c.length}`);
  }
  if (language !== undefined && !(Number.isInteger(language) && language >= 0 && language < c.languages)) {
    throw new ArgumentError('hypernet', `language is ${language}; this hypernetwork has ${c.languages}`);
  }
  let used = 1;
  for (let i = 0; i < forms.size; i++) if (forms.data[i]! >= 0) used = Math.max(used, (i % length) + 1);
  const places = language === undefined ? used : used + 1;
  const pieces = new Int32Array(rows * places).fill(-1);
  const extra = new Int32Array(rows * places).fill(-1);
  const positions = new Int32Array(rows * places).fill(-1);
  const mask = new Uint32Array(rows * places);
  for (let n = 0; n < rows; n++) {
    for (let j = 0; j < used; j++) {
      const id = forms.data[n * length + j]!;
      const at = n * places + j;
      positions[at] = j;
      if (id < 0) continue;
      if (id >= source + c.extra) {
        throw new ArgumentError(
          'hypernet',
          `token ${n} has the piece ${id}; there are ${source} and ${c.extra} extra bytes`,
        );
      }
      if (id < source) pieces[at] = id;
      else extra[at] = id - source;
      mask[at] = 1;
    }
    if (language !== undefined) {
      positions[n * places + used] = length + language;
      mask[n * places + used] = 1;
    }
  }
  const shape = [rows, places];
  return {
    pieces: tensor(shape, pieces),
    ...(c.extra === 0 ? {} : { extra: tensor(shape, extra) }),
    positions: tensor(shape, positions),
    mask: tensor(shape, mask),
    first: tensor(
      [rows],
      Int32Array.from({ length: rows }, (_, n) => n * places),
    ),
  };
}

/** Bring a batch to a backend. */
export function mapBatch<A, B>(b: HypernetBatch<A>, each: (value: A) => B): HypernetBatch<B> {
  return Object.fromEntries(
    Object.entries(b).map(([name, value]) => [name, each(value as A)]),
  ) as unknown as HypernetBatch<B>;
}

/** Tokens with forms of about the same length. */
export interface FormGroup {
  /** Which tokens, in their order. */
  readonly tokens: Int32Array;
  /** i32 [tokens, length] */
  readonly forms: Tensor;
}

/**
 * Tokens by the pieces of their form: one; two and three; more. Places that are padding in a whole batch are left out, and most
 * tokens are short, so that three batches take a third of the time of one. Tokens do not see each other: nothing changes but the time.
 */
export function formGroups(forms: Tensor): FormGroup[] {
  const [rows = 0, length = 0] = forms.shape;
  const groups: number[][] = [[], [], []];
  for (let n = 0; n < rows; n++) {
    let used = length;
    while (used > 1 && forms.data[n * length + used - 1]! < 0) used--;
    groups[used === 1 ? 0 : used <= 3 ? 1 : 2]!.push(n);
  }
  return groups
    .filter((tokens) => tokens.length > 0)
    .map((tokens) => {
      const part = new Int32Array(tokens.length * length);
      for (const [i, n] of tokens.entries()) {
        part.set((forms.data as Int32Array).subarray(n * length, (n + 1) * length), i * length);
      }
      return { tokens: Int32Array.from(tokens), forms: tensor([tokens.length, length], part) };
    });
}

/** Tokens per call: this bounds the memory and changes nothing else. */
const tokensPerCall = 4096;

/** Predict rows for any number of forms, on the host, in batches. */
export async function predictRows<T extends AnyTensor>(
  backend: Backend<T>,
  c: HypernetConfig,
  parameters: HypernetParameters<T>,
  frozen: HypernetFrozen<T>,
  forms: Tensor,
  language?: number,
): Promise<SourceTables> {
  const [rows = 0, length = 0] = forms.shape;
  const source = frozen.table.shape[0]!;
  const made = { in: new Float32Array(rows * c.width), out: new Float32Array(c.tied ? 0 : rows * c.width) };
  for (const group of formGroups(forms)) {
    for (let from = 0; from < group.tokens.length; from += tokensPerCall) {
      const tokens = group.tokens.subarray(from, from + tokensPerCall);
      const data = group.forms.data.slice(from * length, (from + tokens.length) * length);
      const part = tensor([tokens.length, length], data);
      const batch = mapBatch(hypernetBatch(c, source, part, language), (t) => backend.upload(t));
      const got = hypernetRows(backend.ops, c, parameters, frozen, batch);
      for (const [table, to] of [
        [got.in, made.in],
        [got.out, made.out],
      ] as const) {
        if (table === undefined) continue;
        const values = (await backend.read(table)).data as Float32Array;
        for (const [i, n] of tokens.entries())
          to.set(values.subarray(i * c.width, (i + 1) * c.width), n * c.width);
      }
      for (const t of [...Object.values(batch), got.in, got.out]) t?.[Symbol.dispose]();
    }
  }
  return {
    in: tensor([rows, c.width], made.in),
    ...(c.tied ? {} : { out: tensor([rows, c.width], made.out) }),
  };
}
