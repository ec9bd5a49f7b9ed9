import { Tape } from '../../core/autograd.ts';
import type { Backend } from '../../core/backend.ts';
import { ArgumentError, ShapeError } from '../../core/errors.ts';
import { type AnyTensor, show, type Tensor, tensor } from '../../core/tensor.ts';
import type { SamOutConfig } from '../samOut/config.ts';
import { samOutLayers } from '../samOut/model.ts';
import { mapParameters, type SamOutParameters } from '../samOut/parameters.ts';
import type { SourceTables } from './model.ts';

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
 * A frozen model of any make, as training and measuring need it: from embedded inputs to logits. It may compute where it likes; what
 * goes in and comes out are host tensors.
 */
export interface Body {
  /** Its own rows: the input table and, unless it is tied, the output table. */
  readonly tables: SourceTables;
  /**
   * @param inputs f32 [B, S, d]: rows of an input table, in the order of the text
   * @param output f32 [V', d]: an output table; of a tied model, its input table
   * @returns f32 [B, S, V']: logits of what follows each position, which may see itself and what stands before it
   */
  logits(inputs: Tensor, output: Tensor): Tensor | Promise<Tensor>;
  /** The gradients of the sum of dLogits * logits(inputs, output), shaped as these. Only training asks for it. */
  backward?(inputs: Tensor, output: Tensor, dLogits: Tensor): BodyGradients | Promise<BodyGradients>;
}

export interface BodyGradients {
  readonly inputs: Tensor;
  readonly output: Tensor;
}

/** A SamOut model as a body like any other. Training takes a SamOut itself, which is faster; this shows that both are the same. */
export function samOutBody<T extends AnyTensor>(backend: Backend<T>, body: ZettBody): Body & Disposable {
  const parameters = mapParameters(body.parameters, (t) => backend.upload(t));
  return {
    tables: tablesOf(body),
    async logits(inputs, output) {
      using x = backend.upload(inputs);
      using table = backend.upload(output);
      const { features, state } = samOutLayers(backend.ops, body.config, parameters, x);
      state[Symbol.dispose]();
      using hidden = features;
      using logits = backend.ops.matmul(hidden, table, { transposeB: true });
      return await backend.read(logits);
    },
    async backward(inputs, output, dLogits) {
      using x = backend.upload(inputs);
      using table = backend.upload(output);
      using dy = backend.upload(dLogits);
      using tape = new Tape(backend);
      const frozen = mapParameters(parameters, (t) => tape.constant(t));
      const [given, head] = [tape.parameter(x), tape.parameter(table)];
      const { features } = samOutLayers(tape.ops, body.config, frozen, given);
      const logits = tape.ops.matmul(features, head, { transposeB: true });
      const [dInputs, dOutput] = tape.pullback(logits, [given, head], dy);
      using a = dInputs!;
      using b = dOutput!;
      return { inputs: await backend.read(a), output: await backend.read(b) };
    },
    [Symbol.dispose]() {
      mapParameters(parameters, (t) => t[Symbol.dispose]());
    },
  };
}

/** Rows of a table for ids i32 [B, S]: f32 [B, S, d]. */
function embed(table: Tensor, ids: Tensor): Tensor {
  const width = table.shape[1]!;
  const out = new Float32Array(ids.size * width);
  for (const [i, id] of ids.data.entries()) {
    out.set((table.data as Float32Array).subarray(id * width, (id + 1) * width), i * width);
  }
  return tensor([...ids.shape, width], out);
}

/** The body's logits, checked. */
async function logitsOf(body: Body, inputs: Tensor, output: Tensor): Promise<Tensor> {
  const logits = await body.logits(inputs, output);
  require('logits', logits, [inputs.shape[0]!, inputs.shape[1]!, output.shape[0]!]);
  return logits;
}

function require(name: string, { dtype, shape }: Tensor, want: readonly number[]): void {
  if (dtype === 'f32' && show(shape) === show(want)) return;
  throw new ShapeError(
    'zett',
    `the body's ${name} have shape ${show(shape)} and dtype ${dtype}; they must be f32 ${show(want)}`,
  );
}

/**
 * Nats of each target, and the gradient of their mean.
 * @param targets ids; what is `ignored` counts nowhere
 */
function crossEntropy(logits: Tensor, targets: ArrayLike<number>, ignored: number) {
  const vocabulary = logits.shape[2]!;
  const dLogits = new Float32Array(logits.size);
  const counted = Array.from(targets).filter((t) => t !== ignored).length;
  let nats = 0;
  for (let i = 0; i < targets.length; i++) {
    const target = targets[i]!;
    if (target === ignored) continue;
    const row = (logits.data as Float32Array).subarray(i * vocabulary, (i + 1) * vocabulary);
    let top = -Infinity;
    for (const v of row) if (!(v <= top)) top = v;
    let sum = 0;
    for (const v of row) sum += Math.exp(v - top);
    nats += Math.log(sum) + top - row[target]!;
    for (let j = 0; j < vocabulary; j++)
      dLogits[i * vocabulary + j] = (Math.exp(row[j]! - top) / sum - Number(j === target)) / counted;
  }
  return { nats, counted, dLogits: tensor(logits.shape, dLogits) };
}

/** The mean loss of a batch through a body, and its gradients of both tables; those of a tied model are one, in `in`. */
export async function bodyLoss(
  body: Body,
  tables: SourceTables,
  inputs: Tensor,
  targets: Tensor,
  ignored: number,
): Promise<{ readonly loss: number; readonly gradients: SourceTables }> {
  if (body.backward === undefined)
    throw new ArgumentError('zett', 'the body has no backward, which training needs; measuring does not');
  const output = tables.out ?? tables.in;
  const x = embed(tables.in, inputs);
  const { nats, counted, dLogits } = crossEntropy(await logitsOf(body, x, output), targets.data, ignored);
  const made = await body.backward(x, output, dLogits);
  require('gradients of the inputs', made.inputs, x.shape);
  require('gradients of the output table', made.output, output.shape);
  const width = tables.in.shape[1]!;
  const dIn = new Float32Array(tables.in.size);
  for (const [i, id] of inputs.data.entries()) {
    for (let d = 0; d < width; d++) dIn[id * width + d]! += made.inputs.data[i * width + d]!;
  }
  const tied = tables.out === undefined;
  if (tied) for (let i = 0; i < dIn.length; i++) dIn[i]! += made.output.data[i]!;
  return {
    loss: counted === 0 ? 0 : nats / counted,
    gradients: { in: tensor(tables.in.shape, dIn), ...(tied ? {} : { out: made.output }) },
  };
}

/**
 * Nats that a body needs for a sequence of ids under given tables, the first id given. A body keeps no state, so the sequence is cut
 * into parts of `chunk` predictions, each of which sees `context` ids before it and no more.
 */
export async function bodyNats(
  body: Body,
  tables: SourceTables,
  ids: Int32Array,
  { chunk = 256, context = 64 }: { readonly chunk?: number; readonly context?: number } = {},
): Promise<number> {
  const none = -1;
  let nats = 0;
  for (let at = 0; at + 1 < ids.length; at += chunk) {
    const from = Math.max(at - context, 0);
    const to = Math.min(at + chunk, ids.length - 1);
    const inputs = tensor([1, to - from], ids.slice(from, to));
    const targets = Array.from(ids.subarray(from + 1, to + 1), (id, i) => (from + i < at ? none : id));
    const logits = await logitsOf(body, embed(tables.in, inputs), tables.out ?? tables.in);
    nats += crossEntropy(logits, targets, none).nats;
  }
  return nats;
}
